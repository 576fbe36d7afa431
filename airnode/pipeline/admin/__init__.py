"""What administrators see of the pipeline, and what they do to it."""
