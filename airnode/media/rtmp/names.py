"""Stream names and the queries that encoders hang onto them.

OBS sends ``room?key=…`` as the stream name; FFmpeg splits its URL so that the query stays with the name; others put
it behind the app, or leave it only in tcUrl.
"""

from typing import Final
from urllib.parse import parse_qsl

_MAX_PARAMS: Final = 32


def split_name(app: str, tc_url: str, name: str) -> tuple[str, str, dict[str, str]]:
    """The app and the stream name without their queries, and all queries merged: name before app before tcUrl."""
    bare_app, _, app_query = app.partition("?")
    bare_name, _, name_query = name.partition("?")
    params: dict[str, str] = {}
    for query in (name_query, app_query, tc_url.partition("?")[2]):
        for key, value in _parse(query):
            params.setdefault(key, value)
    return bare_app.strip("/"), bare_name.strip("/"), params


def _parse(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMS)
    except ValueError:  # too many fields: not a query that anyone wrote on purpose
        return []
