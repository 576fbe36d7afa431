"""``live.mp4``: one endless response per viewer."""
