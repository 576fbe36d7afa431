"""A room on this node: who publishes into it, who watches it, and what is reported to the cluster."""
