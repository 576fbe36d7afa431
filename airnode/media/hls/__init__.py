"""HLS: playlists, the live window, blocking reload."""
