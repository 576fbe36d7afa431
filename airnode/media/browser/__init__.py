"""Ingest from a browser: WebCodecs' samples in an own small framing over a WebSocket (docs/browser-ingest.md)."""
