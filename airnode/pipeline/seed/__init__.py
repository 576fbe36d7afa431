"""Made-up customers and courses."""
