"""Supervised child servers for the embedded defaults: Valkey and PostgreSQL."""
