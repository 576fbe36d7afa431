"""The rooms of this node: publishers, viewers, packaging, and reports to the cluster."""
