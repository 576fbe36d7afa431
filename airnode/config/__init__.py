"""The configuration: a typed model, and layers of values over its defaults (flags > environment > files > defaults).

Importing this package is cheap: pydantic comes in with the first :func:`load`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from airnode.config.flags import Flag, parse_set

if TYPE_CHECKING:
    from airnode.config.loading import Loaded
    from airnode.config.sections.base import Section

__all__ = ["Flag", "load", "parse_set"]

_NONE: Mapping[str, "type[Section]"] = MappingProxyType({})


def load(
    *,
    flags: Mapping[str, object],
    files: Sequence[Path],
    env: Mapping[str, str],
    role_sections: "Mapping[str, type[Section]]" = _NONE,
) -> "Loaded":
    """Read all layers and check them at once.

    Args:
        flags: {dotted key: raw value, or a :class:`Flag` that names its option}; the strongest layer.
        files: TOML files, later ones win; none: those of ``AIRNODE_CONFIG``.
        env: the environment: ``AIRNODE_SECTION__KEY``, and the names in ``airnode.config.sources.ENV_LEGACY``.
        role_sections: the sections of third-party roles, configured as ``[roles.<name>]``.

    Raises:
        ConfigError: every problem, in words; ``str(error)`` is the text for a terminal and never holds a secret.
    """
    from airnode.config import loading

    return loading.load(flags=flags, files=files, env=env, role_sections=role_sections)
