"""ffmpeg for one run, and elementary streams: H.264 and H.265 as another decoder expects them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

VIDEO = ["-f", "lavfi", "-i", "testsrc2=s=640x360:r=30"]
AUDIO = ["-f", "lavfi", "-i", "sine=r=48000"]
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "30", "-pix_fmt", "yuv420p"]
AAC = ["-c:a", "aac", "-b:a", "64k"]


async def run_ffmpeg(*arguments: str) -> tuple[int, str]:
    """Return the exit code and the error output."""
    process = await asyncio.create_subprocess_exec(
        "ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *arguments, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(40):
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, errors.decode()


def split_nal_units(data: bytes) -> list[bytes]:
    """Return the NAL units of a frame with 4-byte lengths (ISO/IEC 14496-15)."""
    found, pos = [], 0
    while pos < len(data):
        size = int.from_bytes(data[pos : pos + 4], "big")
        found.append(data[pos + 4 : pos + 4 + size])
        pos += 4 + size
    assert pos == len(data)
    return found


def annex_b_frame(data: bytes) -> bytes:
    """Return a frame of length-prefixed NAL units with start codes instead (ITU-T H.264, Annex B)."""
    return annex_b(split_nal_units(data))


def annex_b(units: Sequence[bytes]) -> bytes:
    return b"".join(b"\0\0\0\1" + unit for unit in units)


def avc_parameter_sets(record: bytes) -> list[bytes]:
    """Return the SPS and the PPS of an AVCDecoderConfigurationRecord."""
    sps = int.from_bytes(record[6:8], "big")
    at = 8 + sps + 1
    pps = int.from_bytes(record[at : at + 2], "big")
    return [record[8 : 8 + sps], record[at + 2 : at + 2 + pps]]


def hevc_parameter_sets(record: bytes) -> list[bytes]:
    """Return the VPS, SPS and PPS of an HEVCDecoderConfigurationRecord."""
    found, pos = [], 23
    for _ in range(record[22]):
        count = int.from_bytes(record[pos + 1 : pos + 3], "big")
        pos += 3
        for _ in range(count):
            size = int.from_bytes(record[pos : pos + 2], "big")
            found.append(record[pos + 2 : pos + 2 + size])
            pos += 2 + size
    return found


async def count_decoded_frames(stream: Path) -> int:
    """Return how many frames of a file ffmpeg decodes without an error."""
    checksums = stream.with_suffix(".md5")
    code, errors = await run_ffmpeg("-xerror", "-i", str(stream), "-f", "framemd5", str(checksums))
    assert code == 0, errors
    return sum(not line.startswith("#") for line in checksums.read_text().splitlines())
