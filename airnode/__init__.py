"""airnode: a live classroom in one binary."""

__version__ = "0.1.0"
