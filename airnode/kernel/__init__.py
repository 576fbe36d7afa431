"""What everything stands on: services, task scopes, pauses, logging. Knows nothing of airnode's parts."""
