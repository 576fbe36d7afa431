"""Media files, read in a child process with limits: what they hold, their audio as samples, and where to cut it."""
