"""The request and the answer of ``POST /cluster/join``."""

from typing import Annotated

import msgspec

JOIN_PATH = "/cluster/join"

ShortText = Annotated[str, msgspec.Meta(max_length=200)]
Value = str | int | float | bool | None


class JoinRequest(msgspec.Struct):
    """A process on another machine that wants to work on the master's stores.

    Attributes:
        access: the name of an access that roles declare: ``node``, ``pipeline``, or one of another package.
        version: the airnode that it runs. roles: the roles that it runs; empty: a command.
        node_id: its id; required of a node. node_name: its name for people.
        host: host under which viewers reach it; empty: the address that the master sees.
    """

    access: ShortText
    version: ShortText
    roles: Annotated[list[ShortText], msgspec.Meta(max_length=50)] = []
    node_id: ShortText = ""
    node_name: ShortText = ""
    host: ShortText = ""


class JoinAnswer(msgspec.Struct):
    """The addresses, the key and the settings of an access.

    Attributes:
        redis_url, postgres_url: with user and password; empty: not part of the access, or not to be shared.
        jwt_secret: the key that signs viewers' tokens; empty: not part of the access.
        node_host: the address that the master sees; empty: the same machine as the master's.
        settings: {key: value} of the settings that are the same in the whole cluster, such as ``cluster.lease_s``.
    """

    redis_url: str
    postgres_url: str
    jwt_secret: str
    node_host: str
    settings: dict[str, Value]
