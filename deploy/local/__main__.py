"""``python -m deploy.local``: runs the master and slaves of the Compose file as plain processes."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.local.cluster import Child, LocalCluster, run, say
from deploy.local.topology import COMPOSE, Program, TopologyError, chosen, on_free_ports, read, variables_of

_ENV = "cluster.env"


def main() -> int:
    """Run the cluster. Return 0: it ended well; 1: a node failed; 2: the arguments or the Compose file are wrong."""
    asked = _parser().parse_args()
    airnode = shutil.which(asked.airnode)
    if airnode is None:
        return _refuse(f"there is no command {asked.airnode}: make setup installs it into .venv")
    directory = asked.data_dir.expanduser().resolve()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        programs = _programs(directory, asked)
    except (TopologyError, subprocess.CalledProcessError) as error:
        return _refuse(str(error))
    say(f"starting {', '.join(each.name for each in programs)}; data and logs in {directory}")
    cluster = LocalCluster(airnode, directory, asked.ready_within_s, say)
    return run(cluster, programs, lambda children: say(addresses(children, directory, asked.airnode)))


def _programs(directory: Path, asked: argparse.Namespace) -> list[Program]:
    subprocess.run([COMPOSE.with_name("make-env"), directory / _ENV], check=True)
    programs = chosen(
        read(COMPOSE, {**variables_of(directory / _ENV), **os.environ}), asked.slaves, asked.profile, asked.consumers
    )
    if asked.free_ports:
        programs = [on_free_ports(each) for each in programs]
    if asked.host:
        programs = [each.with_env(AIRNODE_HTTP__HOST=asked.host) for each in programs]
    return programs


def addresses(children: Sequence[Child], directory: Path, airnode: str) -> str:
    """Return the addresses of the cluster, as text for people."""
    master = next(child for child in children if child.program.is_master)
    lines = [
        ("Studio (teacher)", master.endpoints["studio_url"]),
        ("Class (students)", master.endpoints["class_url"]),
        ("Class code", master.endpoints["class_code"]),
    ]
    if network := master.endpoints.get("network_url"):
        lines.append(("On your network", network))
    lines.append(("Encoder: stream key", master.endpoints["stream_key"]))
    lines += [
        (f"Encoder: {child.program.name}", child.endpoints["rtmp_server"])
        for child in children
        if child.program.is_slave
    ]
    lines.append(("Watch it", f"{airnode} top --data-dir {master.directory}"))
    lines.append(("Admin", master.endpoints["admin_url"]))
    if any("consumer" in child.program.args for child in children):
        lines.append(("Data to begin with", f"{airnode} seed --data-dir {master.directory}"))
    lines.append(("Cluster token", f"in {directory / _ENV}"))
    body = "\n".join(f"  {label:<20} {value}" for label, value in lines)
    return f"\nthe cluster is ready. Ctrl+C stops it.\n\n{body}\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    parser.add_argument("--slaves", type=_count, default=3, metavar="N", help="how many slaves [default: 3]")
    parser.add_argument(
        "--profile", action="append", default=[], metavar="NAME", help="what else of the Compose file: pipeline"
    )
    parser.add_argument("--consumers", type=_count, metavar="N", help="how many consumers [default: the file's]")
    parser.add_argument("--data-dir", type=Path, default=Path(".cluster"), metavar="DIR", help="[default: .cluster]")
    parser.add_argument("--free-ports", action="store_true", help="any free port instead of the file's")
    parser.add_argument("--host", default="", metavar="ADDRESS", help="address to listen on [default: all]")
    parser.add_argument("--airnode", default=str(Path(sys.executable).with_name("airnode")), metavar="COMMAND")
    parser.add_argument("--ready-within-s", type=float, default=60.0, metavar="S", help="[default: 60]")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 50:
        raise argparse.ArgumentTypeError("1 to 50")
    return count


def _refuse(reason: str) -> int:
    sys.stderr.write(f"cluster-local: {reason}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
