"""The roles of a node. Each module declares one role, and only connects parts of other packages."""
