"""The ``[node]`` section of the configuration."""

from pathlib import Path

from pydantic import Field

from airnode.config.sections.base import Section
from airnode.config.units import HomePath


class NodeSection(Section):
    """This process."""

    name: str = Field(default="", description="Name people see for this node; empty: the machine's host name.")
    host: str = Field(
        default="",
        description="Host name or address under which viewers and encoders reach this node; empty: the host of the "
        "request that asked.",
    )
    data_dir: HomePath = Field(
        default=Path("~/.airnode"),
        description="Directory for everything this node keeps: databases, keys, endpoints.json.",
    )
