"""How long an outage lasts: as long as it is promised to be survived, or shorter where all tests run."""

import os

#: AIRNODE_CHAOS_WHOLE=1, as `make chaos` has it.
_WHOLE = bool(os.environ.get("AIRNODE_CHAOS_WHOLE"))


def lasting_s(whole_s: float, shorter_s: float) -> float:
    """Return the whole time for `make chaos`, else the shorter one; both in seconds."""
    return whole_s if _WHOLE else shorter_s
