"""Speech for tests: recordings with what is said in them, files of other kinds, and error rates."""

import os
import re
import subprocess
import wave
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Debian's pocketsphinx-testdata: five sentences that a volunteer of LibriVox reads.
LIBRIVOX = Path("/usr/share/pocketsphinx/test/data/librivox")
#: Debian's asterisk-moh-opsound-wav: music without singing.
MUSIC = Path("/usr/share/asterisk/moh/reno_project-system.wav")
SENTENCE = (
    "and mr john dashwood had then leisure to consider how much there might be prudently in his power to do for them"
)


def data_folder() -> Path:
    """The folder with further recordings, which are not part of the repository."""
    return Path(os.environ.get("AIRNODE_TEST_DATA") or ROOT.parent / "shared" / "data") / "speech"


def recording(name: str) -> Path:
    """A recording of that folder; the test is skipped where there is none."""
    path = data_folder() / name
    if not path.is_file():
        pytest.skip(f"{name} is not in {data_folder()}; AIRNODE_TEST_DATA names the folder above it")
    return path


def sentence() -> Path:
    """Six seconds of English: `SENTENCE`."""
    return _packaged(LIBRIVOX / "sense_and_sensibility_01_austen_64kb-0870.wav", "pocketsphinx-testdata")


def music() -> Path:
    return _packaged(MUSIC, "asterisk-moh-opsound-wav")


#: The same words, spelled in two ways.
_SPELLED = {
    "mister": "mr",
    **{
        str(digit): name
        for digit, name in enumerate(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
    },
}


def _packaged(path: Path, package: str) -> Path:
    if not path.is_file():
        if os.environ.get("CI"):
            pytest.fail(f"the Debian package {package} is not installed (tests/system-packages installs it)")
        pytest.skip(f"the Debian package {package} is not installed")
    return path


def made(path: Path, *arguments: str) -> Path:
    """A file that ffmpeg makes."""
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *arguments, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)
    return path


def written_wav(path: Path, samples: bytes, rate_hz: int = 16_000, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples)
    return path


def wav_samples(path: Path) -> bytes:
    """The samples of a WAV file of 16 kHz, mono."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return file.readframes(file.getnframes())


def words_of(text: str) -> list[str]:
    """The words of a text without case and punctuation."""
    words = re.sub(r"[^\w\s']", " ", text.lower()).split()
    return [_SPELLED.get(word, word) for word in words]


def letters_of(text: str) -> list[str]:
    """The letters and digits of a text: for languages whose words are spaced freely."""
    return [each for each in text.lower() if each.isalnum()]


def mistakes(said: list[str], heard: list[str]) -> int:
    """The least number of insertions, deletions and substitutions that make one of the other."""
    row = list(range(len(heard) + 1))
    for i, one in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (one != other))
    return row[-1]
