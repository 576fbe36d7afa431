"""Which tests run in one process, where several processes share them out."""

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

_ROOT = Path(__file__).parents[2]
_GROUP = re.compile(r'\bxdist_group\("([\w-]+)"\)')


@cache
def group_of(file: str) -> str:
    """Return the group that a file names with ``pytest.mark.xdist_group``, else the file; its path is from the root."""
    found = _GROUP.search((_ROOT / file).read_text())
    return found[1] if found else file


class FileScheduling(LoadScopeScheduling):
    """Gives whole files to a process, in order, and all files of a group to one.

    xdist's own ``--dist loadgroup`` reads groups from the names of tests, which pytest 9.2 does not let it change.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])
