"""``python -m airnode``."""

from airnode.cli import main

main()
