"""The commands besides ``--role``, and their output."""
