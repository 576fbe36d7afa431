"""From frames to CMAF: the media timeline, fragments, parts and segments."""
