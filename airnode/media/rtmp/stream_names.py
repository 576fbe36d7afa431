"""Reads the app, the stream name and the stream key that a publisher typed into its encoder.

An encoder has a field for the server (``rtmp://host/live``) and one for the stream key, or one field for both. RTMP
carries them as ``app`` and ``tcUrl`` of connect and as the stream name of publish. These forms are
understood, mistakes included:

======================================  ==================================  ======================
server                                  stream key                          read as
======================================  ==================================  ======================
``rtmp://host/live``                    ``KEY``                             the key
``rtmp://host/live``                    `` "KEY" ``, ``KEY/``, ``KEY%0A``   the key
``rtmp://host/live/KEY``                nothing                             the key
``rtmp://host/live/KEY``                ``KEY``                             the key
``rtmp://host/live``                    ``rtmp://host/live/KEY``            the key
``rtmp://host/live``                    ``room?key=KEY``                    the room and the key
``rtmp://host/live?key=KEY``            ``room``                            the room and the key
======================================  ==================================  ======================
"""

from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote

_MAX_PARAMS: Final = 32
#: Characters that copying adds around a key: spaces of any kind, invisible marks, quotation marks, brackets.
_AROUND: Final = (
    " \t\r\n\v\f\0\u00a0\u2028\u2029\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\"'`<>\u2018\u2019\u201c\u201d"
)


class StreamName(NamedTuple):
    """A publisher's destination.

    Attributes:
        app: the first part of the server's path, without a query.
        name: the stream name, without a query.
        params: the query parameters of the stream name, the app and tcUrl together.
        key: the parameter ``key``, or else the stream name.
    """

    app: str
    name: str
    params: dict[str, str]
    key: str


def read_stream_name(app: str, tc_url: str, name: str) -> StreamName:
    """Return the destination of a publish.

    OBS sends ``room?key=…`` as the stream name. FFmpeg splits its URL so that the query stays with the name. Other
    encoders put the query after the app, or leave it only in tcUrl. If a parameter occurs more than once, the
    first value is used, in the order name, app, tcUrl.
    """
    bare_app, _, app_query = app.partition("?")
    bare_name, _, name_query = _clean(name).partition("?")
    if "://" in bare_name:  # a whole URL in the field of the key: its path begins with the app
        _host, _, path = bare_name.partition("://")[2].partition("/")
        path_app, _, path_name = path.partition("/")
        bare_name = path_name or path_app
    params: dict[str, str] = {}
    for query in (name_query, app_query, tc_url.partition("?")[2]):
        for key, value in _parse_query(query):
            params.setdefault(key, _clean(value))
    bare_name = _clean(bare_name)
    first, _, rest = _clean(bare_app).partition("/")
    if not bare_name:
        bare_name = _clean(rest)
    return StreamName(first, bare_name, params, params.get("key") or bare_name)


def _clean(text: str) -> str:
    """Return the text without percent encoding and without the characters that copying adds around it."""
    return unquote(text).strip(_AROUND).strip("/").strip(_AROUND)


def _parse_query(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMS)
    except ValueError:  # too many fields: nobody wrote this query on purpose
        return []
