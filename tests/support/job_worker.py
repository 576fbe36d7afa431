"""A worker in a process of its own: ``python -m tests.support.job_worker URL SECTION``; it prints a line per event."""

import asyncio
import json
import sys
import time

from airnode.bus.jobs.control import JobControl
from airnode.bus.jobs.records import JobRecord
from tests.support.jobs import QUEUE, JobsRig


def say(*words: object) -> None:
    print(*words, flush=True)


async def wait_for_ever(job: JobRecord, control: JobControl) -> None:
    say("begun", job.id)
    await asyncio.Event().wait()


async def block_loop(job: JobRecord, control: JobControl) -> str:
    """Stop the event loop, as the import of a large library may."""
    say("begun", job.id)
    time.sleep(float(job.data["for_s"]))
    return "blocked"


async def main(url: str, section: str) -> None:
    rig = JobsRig(url, **json.loads(section))
    await rig.bus.start()
    await rig.worker({"wait": wait_for_ever, "block": block_loop}, QUEUE, concurrency=1)
    say("ready")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
