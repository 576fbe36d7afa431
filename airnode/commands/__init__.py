"""What a terminal shows: the commands beside ``--role``."""
