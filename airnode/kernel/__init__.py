"""Services, task scopes, pauses, logging. All other packages use this package; it imports none of them."""
