"""The access of the pipeline's roles and commands to the stores of a master.

They may use the event log, the cache, the outbox of classes, and the tables of the pipeline and of class records. They
get neither the cluster token nor the key that signs viewers' tokens.
"""

from airnode.bus import keys as bus_keys
from airnode.kernel.access import JoinToken, RedisAccess, RemoteAccess, SqlGrant
from airnode.pipeline import keys
from airnode.pipeline.keys import CLASSROOM_RELAY, CLASSROOM_RELAY_FIRST
from airnode.store.migrate import READ_MIGRATIONS

_TABLES = ("users", "products")

PIPELINE_TOKEN = JoinToken(
    "pipeline_token",
    "pipeline token",
    "Credential with which cache-workers, producers and consumers on other machines get to the embedded stores of a "
    "master, 32 characters or more, the same on the master and on them; opens the event log, the cache and the "
    "pipeline's tables, and nothing else.",
)
PIPELINE_ACCESS = RemoteAccess(
    name="pipeline",
    token=PIPELINE_TOKEN,
    redis=RedisAccess(
        keys=(
            f"{bus_keys.PREFIX}log:*",
            f"{bus_keys.PREFIX}pipeline:*",
            f"{bus_keys.PREFIX}lease:{{pipeline-members}}:*",
            f"{bus_keys.PREFIX}lease:{{cache-worker}}:*",
            bus_keys.claim("cache-worker"),
            f"{bus_keys.PREFIX}lease:{{{CLASSROOM_RELAY}}}:*",
            f"{bus_keys.PREFIX}lease:{{{CLASSROOM_RELAY_FIRST}}}:*",
            bus_keys.claim(CLASSROOM_RELAY),
            bus_keys.classroom_outbox(),
            bus_keys.classroom_relayed(),
            *(keys.cache(table) for table in _TABLES),
            *(f"{{{keys.cache(table)}}}:*" for table in _TABLES),
            keys.cache_stats(),
        ),
        commands=("info",),  # cache-monitor shows how much memory the Redis uses
    ),
    grants=(
        READ_MIGRATIONS,
        SqlGrant("pipeline", "SELECT, INSERT, UPDATE, DELETE"),
        SqlGrant("classroom", "SELECT, INSERT, UPDATE, DELETE"),
    ),
)
