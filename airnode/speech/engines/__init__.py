"""What turns audio into words: a process of our own, or an API elsewhere."""
