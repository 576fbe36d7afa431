"""Measurements: they print figures and compare them with targets, and assert nothing about time."""
