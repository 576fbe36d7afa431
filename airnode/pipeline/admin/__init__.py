"""Administration of the pipeline: its status, alarms, statistics, dead letters, and HTTP API."""
