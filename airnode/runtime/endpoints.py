"""``endpoints.json``: where a ready node is to be found, for scripts."""

from collections.abc import Mapping
from pathlib import Path

import orjson

from airnode.runtime.identity import write_private

FILE_NAME = "endpoints.json"

#: The order in which the file lists what there is.
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
    """Order the fields; the whole RTMP address follows from server and key where a node has both."""
    values = dict(found)
    if "rtmp_server" in values and "stream_key" in values:
        values.setdefault("rtmp_url", f"{values['rtmp_server']}/{values['stream_key']}")
    known = {name: values.pop(name) for name in FIELDS if name in values}
    return {**known, **values}


def write(data_dir: Path, endpoints: Mapping[str, object]) -> Path:
    """Write the file, mode 600; whole or not at all."""
    path = data_dir / FILE_NAME
    write_private(path, orjson.dumps(dict(endpoints), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return path


def remove(data_dir: Path) -> None:
    """Take the file away: the node is not there any more."""
    (data_dir / FILE_NAME).unlink(missing_ok=True)
