"""What a terminal shows: the commands besides ``--role``."""
