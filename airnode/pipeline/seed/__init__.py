"""Generated customers and courses."""
