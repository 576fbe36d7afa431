"""The built pages are light: what a browser loads before anybody does anything, as the server compresses it."""

import gzip
import os
import re
from pathlib import Path

import pytest

from airnode.web.static import static_dir

MAX_BYTES = 150_000
STATIC = static_dir()
_NAMED = re.compile(r'(?:src|href)="(/[^"]+)"')
_IMPORTED = re.compile(r'(?:\bfrom|\bimport)\s*"(\./[^"]+)"')


def _sent_bytes(path: Path) -> int:
    compressed = path.with_name(path.name + ".gz")
    return compressed.stat().st_size if compressed.exists() else len(gzip.compress(path.read_bytes()))


def _first_load(page: Path) -> dict[Path, int]:
    """Return {file: bytes as sent} of a page and all that it loads by itself, scripts that scripts import too."""
    named = {STATIC / name.lstrip("/") for name in _NAMED.findall(page.read_text())}
    waiting = [path for path in named if path.is_file()]
    found = {page: _sent_bytes(page)}
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = _sent_bytes(path)
            if path.suffix == ".js":
                waiting += [path.parent / name for name in _IMPORTED.findall(path.read_text())]
    return found


@pytest.mark.parametrize("page", ["class", "studio", "admin"])
def test_a_page_is_at_most_150_kilobytes_at_first(page: str):
    path = STATIC / f"{page}.html"
    if not path.exists() and not os.environ.get("CI"):
        pytest.skip("the pages are not built: make pages")
    found = _first_load(path)
    assert len(found) >= 5
    assert sum(found.values()) <= MAX_BYTES, {file.name: size for file, size in found.items()}
    # The player of playlists comes only where it is needed.
    assert not any(file.name.startswith("hls") for file in found)
