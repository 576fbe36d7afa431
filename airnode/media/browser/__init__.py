"""Ingest from a browser: WebCodecs' samples in a small framing of our own over a WebSocket (docs/browser-ingest.md)."""
