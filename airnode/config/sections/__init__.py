"""The sections of the configuration, one per file."""
