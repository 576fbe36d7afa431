"""``endpoints.json``: the addresses of a ready node, for scripts and for commands on the same machine."""

from collections.abc import Mapping
from pathlib import Path

import orjson

from airnode.errors import StartupError
from airnode.runtime.private_file import write_private
from airnode.web.addresses import publish_urls

FILE_NAME = "endpoints.json"

#: The order of the fields in the file.
FIELDS = (
    "pid",
    "api_url",
    "health_url",
    "media_url",
    "rtmp_url",
    "rtmp_server",
    "stream_key",
    "studio_url",
    "class_url",
    "class_code",
    "teacher_secret",
    "admin_url",
    "admin_secret",
)


def complete(found: Mapping[str, object]) -> dict[str, object]:
    """Return the fields in order, with complete addresses for publishers if there are servers and a stream key."""
    values = dict(found)
    if "rtmp_server" in values and "stream_key" in values:
        values.setdefault("rtmp_url", f"{values['rtmp_server']}/{values['stream_key']}")
    if "stream_key" in values:
        values |= publish_urls(values, str(values["stream_key"]))
    known = {name: values.pop(name) for name in FIELDS if name in values}
    return {**known, **values}


def write(data_dir: Path, endpoints: Mapping[str, object]) -> Path:
    """Write the file atomically, with mode 600, and return its path."""
    path = data_dir / FILE_NAME
    write_private(path, orjson.dumps(dict(endpoints), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return path


def read(data_dir: Path) -> dict[str, object]:
    """Return the endpoints of the node that keeps its data in ``data_dir``; empty while no node is ready.

    Raises:
        StartupError: the file cannot be read.
    """
    path = data_dir.expanduser() / FILE_NAME
    try:
        found = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StartupError(f"{path} cannot be read: {error}.") from None
    return found if isinstance(found, dict) else {}


def remove(data_dir: Path) -> None:
    """Remove the file: the node can no longer be reached."""
    (data_dir / FILE_NAME).unlink(missing_ok=True)
