"""InitResult-up customers and courses."""
