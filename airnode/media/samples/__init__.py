"""Examines each sample of a publisher before it reaches the packager."""
