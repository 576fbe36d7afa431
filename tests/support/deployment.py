"""Commands and values for tests of the files in deploy/."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.topology import COMPOSE

ROOT = COMPOSE.parents[2]
AIRNODE = str(Path(sys.executable).with_name("airnode"))
CHECK = str(Path(sys.executable).with_name("check-jsonschema"))
SECRETS = {
    "JWT_SECRET_KEY": "5ea1ed" * 8,
    "AIRNODE_CLUSTER__TOKEN": "c0ffee" * 8,
    "AIRNODE_CLUSTER__PIPELINE_TOKEN": "0ddba11" * 6,
    "AIRNODE_CLUSTER__SPEECH_TOKEN": "5beec4" * 8,
}


def bare_env(**more: str) -> dict[str, str]:
    """Return the environment of a new container, without airnode's variables."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **more}


async def command(*args: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a command and return its exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *args, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(30):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace")


def check_classroom(shown: Mapping[str, Mapping[str, object]]) -> None:
    """Check in the output of ``airnode config show --json`` that the room needs no further step."""
    values = {key: each["value"] for key, each in shown.items()}
    assert values["chat.access"] == "token"
    assert not values["chat.bridge"]
    assert values["browser.opus"] == "aac"
    assert values["classes.record_max_age_s"]
