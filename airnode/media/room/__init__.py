"""A room on this node: who publishes into it, who watches it, what the cluster is told of it."""
