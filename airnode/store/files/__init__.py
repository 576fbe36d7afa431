"""Files on disk: free space, durable writes, reads of ranges, retention."""
