"""The pauses between restarts of a process that ends again and again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from airnode.processes.child import LaunchSpec
from airnode.processes.supervisor import ChildServer, ProcessOptions
from tests.support.waiting import eventually


class Sleeper(ChildServer):
    """Runs until it is killed, and answers at once."""

    def __init__(self, directory: Path, healthy_s: float) -> None:
        options = ProcessOptions("The sleeper", start_timeout_s=30, stop_timeout_s=5, healthy_s=healthy_s)
        self.restarts = Counter("restarts_total", "For a test", ["process"], registry=CollectorRegistry())
        super().__init__("sleeper", directory / "sleeper.lock", options, self.restarts)
        self._directory = directory

    async def prepare(self) -> LaunchSpec:
        return LaunchSpec(["/bin/sleep", "600"], self._directory, self._lock)

    async def probe(self) -> None:
        return


@asynccontextmanager
async def running(sleeper: Sleeper) -> AsyncIterator[Sleeper]:
    await sleeper.start()
    try:
        yield sleeper
    finally:
        await sleeper.stop()


async def pauses_s(sleeper: Sleeper, kills: int) -> list[float]:
    """Return the pauses before the restarts after this number of kills."""
    with capture_logs() as logs:
        async with running(sleeper):
            for done in range(1, kills + 1):
                sleeper.kill()
                await eventually(
                    lambda wanted=done: [each["event"] for each in logs].count("process_restarted") == wanted,
                    30,
                    "the process runs again",
                )
    return [each["restart_in_s"] for each in logs if each["event"] == "process_exited"]


async def test_the_pause_doubles_after_runs_that_were_too_short(tmp_path: Path):
    first_s, second_s, third_s = await pauses_s(Sleeper(tmp_path, healthy_s=3600), 3)
    assert 0.05 <= first_s <= 0.1 <= second_s <= 0.2 <= third_s <= 0.4


async def test_the_pause_is_the_shortest_again_after_a_healthy_run(tmp_path: Path):
    assert all(0.05 <= pause_s <= 0.1 for pause_s in await pauses_s(Sleeper(tmp_path, healthy_s=0), 4))


async def test_each_unexpected_exit_is_counted_under_the_name_of_the_process(tmp_path: Path):
    sleeper = Sleeper(tmp_path, healthy_s=0)
    await pauses_s(sleeper, 2)
    (metric,) = sleeper.restarts.collect()
    counted = {sample.labels["process"]: sample.value for sample in metric.samples if sample.name == "restarts_total"}
    assert counted == {"sleeper": 2}
