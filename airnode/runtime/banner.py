"""What a ready node prints: where to go next, in a few lines."""

from collections.abc import Mapping

#: (field of endpoints.json, what it is for people), in the order of use.
_LINES = (
    ("studio_url", "Studio (teacher)"),
    ("rtmp_server", "Encoder: server"),
    ("stream_key", "Encoder: stream key"),
    ("rtmp_url", "ffmpeg -f flv"),
    ("class_url", "Class (students)"),
    ("class_code", "Class code"),
    ("network_url", "On your network"),
    ("admin_url", "Admin"),
    ("metrics_url", "Pipeline: metrics"),
    ("cache_monitor", "Pipeline: cache"),
)


def banner(endpoints: Mapping[str, object], data_dir: str) -> str:
    """The text, with a blank line around it."""
    lines = [(label, str(endpoints[field])) for field, label in _LINES if endpoints.get(field)]
    if not lines:
        lines = [("API", str(endpoints.get("api_url", "")))]
    lines.append(("Data", data_dir))
    width = max(len(label) for label, _ in lines)
    body = "\n".join(f"  {label.ljust(width)}  {value}" for label, value in lines)
    return f"\nairnode is ready. Ctrl+C stops it.\n\n{body}\n\n"
