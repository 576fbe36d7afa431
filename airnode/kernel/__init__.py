"""What all other packages use: services, task scopes, pauses, logging. It imports none of them."""
