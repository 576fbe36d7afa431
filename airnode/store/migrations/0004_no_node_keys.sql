-- Never used: what a node makes for itself lies in its data directory, readable to it alone.
DROP TABLE node_keys;
