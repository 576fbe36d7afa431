"""The cache of users and products in Redis."""
