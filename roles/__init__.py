"""The roles a node can play: wiring only, one module each."""
