"""ffmpeg as a publisher, with a frame number in the picture that a program can read."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

WIDTH, HEIGHT, RATE = 640, 360, 30
#: The clock: the frame number in binary, one block per bit, lowest bit left, in a bar that no page's controls cover.
BITS = 12
_BAR = HEIGHT // 6
_TOP = HEIGHT // 3


def clock_filter() -> str:
    """Return a filter that draws the frame number as black and white blocks into the picture."""
    block = WIDTH // BITS
    boxes = [f"drawbox=x=0:y={_TOP}:w={WIDTH}:h={_BAR}:color=black:t=fill"]
    boxes += [
        f"drawbox=x={bit * block + 4}:y={_TOP}:w={block - 8}:h={_BAR}:color=white:t=fill"
        f":enable='mod(floor(n/{2**bit})\\,2)'"
        for bit in range(BITS)
    ]
    return ",".join(boxes)


def clock_band() -> float:
    """Return the middle of the clock as a share of the picture's height, from the top."""
    return (_TOP + _BAR / 2) / HEIGHT


def read_clock(gray: bytes, width: int, height: int) -> int:
    """Return the frame number in a grey picture of the whole video, of any size."""
    y = int(height * (_TOP + _BAR / 2) / HEIGHT)
    block = width / BITS * (WIDTH // BITS * BITS / WIDTH)
    number = 0
    for bit in range(BITS):
        x = int((bit + 0.5) * block)
        around = [gray[(y + dy) * width + x + dx] for dy in (-2, 0, 2) for dx in (-2, 0, 2)]
        if sum(around) / len(around) > 128:
            number |= 1 << bit
    return number


def make_clip(path: Path, seconds: int = 90, *, gop: int = RATE, extra: tuple[str, ...] = ()) -> Path:
    """Return an FLV file of the test pattern with the clock and a tone, encoded once."""
    if path.exists():
        return path
    part = path.with_suffix(".part.flv")
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            f"testsrc2=size={WIDTH}x{HEIGHT}:rate={RATE}",
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=48000",
            "-vf",
            clock_filter(),
            "-t",
            str(seconds),
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
            "-g",
            str(gop),
            "-keyint_min",
            str(gop),
            "-sc_threshold",
            "0",
            "-b:v",
            "1000k",
            "-c:a",
            "aac",
            "-b:a",
            "96k",
            *extra,
            str(part),
        ],
        check=True,
    )
    part.rename(path)
    return path


class Publisher:
    """``ffmpeg -re … -f flv rtmp://…``.

    A clip begins anew at its end, so that a slow test does not outlast it.

    Args:
        command: words before the command, such as ``ip netns exec``; the pid must stay that of ffmpeg.
    """

    def __init__(self, url: str, *source: str, command: Sequence[str] = ()) -> None:
        self.url = url
        self.source = source
        self.command = command
        self._process: asyncio.subprocess.Process | None = None

    @classmethod
    def of_clip(cls, url: str, clip: Path, *, command: Sequence[str] = ()) -> "Publisher":
        return cls(url, "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy", command=command)

    async def start(self) -> "Publisher":
        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            "ffmpeg",
            "-v",
            "error",
            "-nostdin",
            *self.source,
            "-f",
            "flv",
            self.url,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        return self

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def result(self, within_s: float = 20.0) -> tuple[int, str]:
        """Return its exit code and its output, after it ended."""
        assert self._process is not None
        async with asyncio.timeout(within_s):
            _, errors = await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode, errors.decode(errors="replace")

    async def stop(self) -> None:
        """Stop it as its user would (Ctrl+C): it unpublishes."""
        await self._end(signal.SIGINT)

    async def kill(self) -> None:
        """Kill it, as a crash of its machine would."""
        await self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Send nothing more, but keep the connection open."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(number)
        try:
            async with asyncio.timeout(10):
                await self._process.communicate()
        except TimeoutError:
            self._process.kill()
            await self._process.communicate()
