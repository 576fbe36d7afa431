"""A process that owns both embedded servers on a data directory, as airnode does, until its standard input closes.

``python embedded_owner.py <data_dir>`` prints their addresses as one line of JSON when both answer. It ignores SIGINT
and SIGTERM, as a node does while it drains. Environment: ``BECOME`` is the user (name or number) to become first,
``CHILD_PYTHON`` the interpreter for the launcher, ``KEEP_ORPHANS=1`` leaves the children running when this process is
killed.
"""

import asyncio
import concurrent.futures.thread
import encodings.idna
import json
import os
import pwd
import signal
import sys
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from airnode.config.sections.embedded import EmbeddedSection
from airnode.embedded.data_dir import DataDir
from airnode.embedded.metrics import EmbeddedMetrics
from airnode.embedded.postgres import EmbeddedPostgres
from airnode.embedded.valkey import EmbeddedValkey
from airnode.processes.child import LaunchSpec

#: Imported here because after the change of user this process cannot read the standard library.
PRELOADED = (concurrent.futures.thread, encodings.idna)


def become(user: str) -> None:
    uid = int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
    os.setgroups([])
    os.setgid(uid if user.isdigit() else pwd.getpwnam(user).pw_gid)
    os.setuid(uid)
    sys.executable = os.environ["CHILD_PYTHON"]


def keep_orphans() -> None:
    """Keep children alive when this process dies: they then get a signal without effect."""
    original = LaunchSpec.to_json

    def without_signal(self: LaunchSpec) -> str:
        return json.dumps({**json.loads(original(self)), "death_signal": int(signal.SIGURG)})

    LaunchSpec.to_json = without_signal


async def main() -> None:
    data_dir = DataDir(Path(sys.argv[1]))
    data_dir.acquire()
    metrics, settings = EmbeddedMetrics(CollectorRegistry()), EmbeddedSection()
    valkey = EmbeddedValkey(data_dir.path, settings, metrics)
    postgres = EmbeddedPostgres(data_dir.path, settings, metrics)
    await asyncio.gather(valkey.start(), postgres.start())
    print(json.dumps({"valkey": valkey.url, "postgres": postgres.url}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await asyncio.gather(valkey.stop(), postgres.stop())
    data_dir.release()


if __name__ == "__main__":
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    if os.environ.get("KEEP_ORPHANS"):
        keep_orphans()
    if user := os.environ.get("BECOME"):
        become(user)
    asyncio.run(main())
