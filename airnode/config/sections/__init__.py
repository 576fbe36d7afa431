"""The sections of the configuration, one a file."""
