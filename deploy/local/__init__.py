"""The cluster of the Compose file as plain processes on this machine."""
