"""Files on the disk: free space, durable writes, reading ranges, and which files must be removed."""
