"""The configuration: a typed model, and layers of values over its defaults (flags > environment > files > defaults).

Importing this package is cheap: the first :func:`load` imports pydantic.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airnode.config.flags import Flag, parse_set

if TYPE_CHECKING:
    from airnode.config.keys import RoleKeys
    from airnode.config.loading import Loaded

__all__ = ["Flag", "load", "parse_set"]


def load(
    *,
    flags: Mapping[str, object],
    files: Sequence[Path],
    env: Mapping[str, str],
    role_keys: "RoleKeys | None" = None,
) -> "Loaded":
    """Return the configuration of all layers, checked at once.

    Args:
        flags: {dotted key: raw value, or a :class:`Flag` with its option}; the strongest layer.
        files: TOML files, of which later ones are stronger; none: the files of ``AIRNODE_CONFIG``.
        env: the environment: ``AIRNODE_SECTION__KEY``, and the names in ``airnode.config.sources.ENV_LEGACY``.
        role_keys: the sections and join tokens that installed roles declare.

    Raises:
        ConfigError: it contains every problem; ``str(error)`` is the text for a terminal and contains no secret.
    """
    from airnode.config import keys, loading

    return loading.load(flags=flags, files=files, env=env, role_keys=role_keys or keys.RoleKeys())
