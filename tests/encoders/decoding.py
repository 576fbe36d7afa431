"""The outputs of a class as FFmpeg decodes them: for codecs that this Chromium does not have (HEVC)."""

import asyncio
import contextlib
import time
from itertools import pairwise
from subprocess import PIPE

from tests.encoders.cases import Case
from tests.encoders.watching import Seen

_LONGEST_S = 30.0


async def decode(case: Case, output: str, url: str, for_s: float = _LONGEST_S) -> Seen:
    """Return the result of decoding an output to its end, at most for this long.

    ``first_s`` is the time until the first picture was decoded, ``still_s`` the longest time from one picture to the
    next in the stream.
    """
    began_s = time.monotonic()
    command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", "-i", url, "-map", "0:v:0"]
    command += ["-fps_mode", "passthrough", "-flush_packets", "1", "-f", "framecrc", "-"]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    seen, tick_s, shown_s = Seen(output), 0.0, list[float]()
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                async for line in process.stdout:
                    fields = [field.strip() for field in line.decode().split(",")]
                    if line.startswith(b"#tb 0:"):
                        ticks, per_s = line.split()[-1].split(b"/")
                        tick_s = int(ticks) / int(per_s)
                    elif fields[0] == "0":
                        seen.first_s = seen.first_s or time.monotonic() - began_s
                        shown_s.append(int(fields[2]) * tick_s)
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        said = [line for line in (await errors).decode().splitlines() if "received signal" not in line]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    shown_s.sort()
    seen.frames = len(shown_s)
    seen.still_s = max((after - before for before, after in pairwise(shown_s)), default=0.0)
    if seen.first_s is None or said:
        seen.trouble = said[-1] if said else "no picture was decoded"
    elif seen.still_s > (case.still_s if output in ("live.mp4", "HLS") else case.file_still_s):
        seen.slow = f"stands still for {seen.still_s:.1f} s"
    return seen
