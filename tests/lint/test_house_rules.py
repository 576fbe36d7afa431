"""House rules that no other linter knows, as tests on the source."""

import ast
import importlib
import itertools
import json
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import airnode
import roles
from airnode.errors import AirnodeError

ROOT = Path(airnode.__file__).parents[1]
MAX_LINES = 400

#: Where a bare ``except Exception`` stands, and why: {file: how many}. One that is not in here is a bug.
BOUNDARIES = {
    "airnode/bus/jobs/attempt.py": 1,  # the job runner: any error of a handler is the job's
    "airnode/bus/jobs/worker.py": 1,  # the job runner: one bad job must not stop the others
    "airnode/bus/subscription.py": 1,  # one bad message must not end the subscription
    "airnode/chat/socketio/client.py": 2,  # the Socket.IO dispatcher
    "airnode/media/browser/connection.py": 1,  # the same, for browsers
    "airnode/media/rtmp/connection.py": 2,  # one bad publisher must not leave a connection without an end
    "airnode/media/viewer_connection.py": 1,  # one bad answer must not keep the other players that wait from theirs
    "airnode/runtime/supervision.py": 1,  # the service supervisor
    "airnode/speech/models.py": 1,  # the client of the model hub raises the errors of its HTTP library
    "airnode/web/health.py": 1,  # a check may fail in any way
    "airnode/web/problems.py": 1,  # the HTTP middleware
}

#: Errors whose code is each instance's own.
CODE_BY_INSTANCE = {"HttpRefusal"}

METRIC_CLASSES = {"Counter", "Meter", "Gauge", "Histogram", "Summary"}

#: Counts of things that are there now, which have no unit (prometheus.io/docs/practices/naming).
COUNTS = {
    "connections",
    "nodes",
    "publishers",
    "streams",
    "viewers",
    "rooms_live",
    "rooms_recorded",
    "rooms_stalled",
    "rooms_unplayable",
    "cached_rows",
    "lag_records",
    "rooms",
    "members",
    "jobs",
    "workers",
    "uploads",
}
#: Names that existing dashboards know.
PROMISED_METRICS = {"redis_connection_status", "http_active_connections", "http_requests_total"}


def sources() -> list[Path]:
    return sorted(
        path
        for package in ("airnode", "roles")
        for path in (ROOT / package).rglob("*.py")
        if "node_modules" not in path.parts
    )


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            yield path, node


def dotted(node: ast.AST | None) -> str:
    return ast.unparse(node) if node is not None else ""


def test_there_is_something_to_check():
    assert len(sources()) > 80


def test_no_file_is_too_long():
    others = [path for directory in ("tests", "deploy") for path in (ROOT / directory).rglob("*.py")]
    lengths = {name(path): len(path.read_text().splitlines()) for path in [*sources(), *others]}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_a_class_name_means_one_thing():
    places: dict[str, list[str]] = {}
    for path, node in nodes():
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            places.setdefault(node.name, []).append(f"{name(path)}:{node.lineno}")
    assert {each: found for each, found in places.items() if len(found) > 1} == {}


def test_tasks_are_started_in_scopes():
    found = []
    for path, node in nodes():
        if not isinstance(node, ast.Call) or name(path) == "airnode/kernel/tasks.py":
            continue
        if dotted(node.func).rpartition(".")[2] in ("create_task", "ensure_future"):
            line = path.read_text().splitlines()[node.lineno - 1]
            if not re.search(r"# noqa: TID251 - \w+", line):
                found.append(f"{name(path)}:{node.lineno}")
    assert found == []


def test_queues_are_bounded():
    unbounded = [
        f"{name(path)}:{node.lineno}"
        for path, node in nodes()
        if isinstance(node, ast.Call)
        and re.fullmatch(r"(asyncio\.)?(Lifo|Priority)?Queue", dotted(node.func))
        and not node.args
        and not any(keyword.arg == "maxsize" for keyword in node.keywords)
    ]
    assert unbounded == []


def test_no_descriptor_is_closed_twice():
    """uvloop closes the descriptor of such a pipe twice; another thread's file may have its number by then."""
    found = [
        f"{name(path)}:{node.lineno}"
        for path, node in nodes()
        if isinstance(node, ast.Attribute) and node.attr in ("connect_read_pipe", "connect_write_pipe")
    ]
    assert found == []


def handlers(*caught: str) -> Iterator[tuple[Path, ast.ExceptHandler]]:
    for path, node in nodes():
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if {dotted(kind).rpartition(".")[2] for kind in kinds} & set(caught):
                yield path, node


def test_cancellation_goes_on():
    swallowed = [
        f"{name(path)}:{node.lineno}"
        for path, node in handlers("CancelledError", "BaseException", "")
        if not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    ]
    assert swallowed == []


def test_everything_is_caught_only_at_boundaries():
    assert Counter(name(path) for path, _ in handlers("Exception")) == BOUNDARIES


def all_errors() -> list[type[AirnodeError]]:
    for package in (airnode, roles):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found, waiting = [], [AirnodeError]
    while waiting:
        kind = waiting.pop()
        if kind.__module__.partition(".")[0] in ("airnode", "roles"):
            found.append(kind)
        waiting += kind.__subclasses__()
    return found


def test_every_error_has_a_code_of_its_own():
    kinds = [kind for kind in all_errors() if kind.__name__ not in CODE_BY_INSTANCE]
    assert len(kinds) > 10
    assert [code for code, count in Counter(kind.code for kind in kinds).items() if count > 1] == []
    for kind in kinds:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
        assert 400 <= kind.status < 600
        assert kind.title


def metrics() -> Iterator[tuple[str, str, str]]:
    """(kind, name, where) of every metric that is made."""
    for path, node in nodes():
        if isinstance(node, ast.Call) and (kind := dotted(node.func)) in METRIC_CLASSES:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield kind, first.value, f"{name(path)}:{node.lineno}"


def test_metrics_are_named_as_prometheus_asks():
    found = list(metrics())
    assert len(found) > 20
    wrong = []
    for kind, metric, where in found:
        if metric in PROMISED_METRICS:
            continue
        what = metric.removeprefix("airnode_").partition("_")[2]
        has_unit = re.search(r"_(seconds|bytes|ratio)$", metric)
        good = {
            "Counter": metric.endswith("_total"),
            "Meter": metric.endswith("_total"),
            "Gauge": bool(has_unit) or metric == "airnode_info" or _counts(what),
        }.get(kind, bool(has_unit))
        if not good or not re.fullmatch(r"airnode(_[a-z0-9]+)+", metric):
            wrong.append(f"{where} {kind} {metric}")
    assert wrong == []
    assert [metric for metric, count in Counter(metric for _, metric, _ in found).items() if count > 1] == []


def _counts(what: str) -> bool:
    return what in COUNTS or what.rpartition("_")[2] in COUNTS


def test_metrics_never_stand_on_the_global_registry():
    bare = [
        f"{name(path)}:{node.lineno}"
        for path, node in nodes()
        if isinstance(node, ast.Call)
        and dotted(node.func) in METRIC_CLASSES
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and str(node.args[0].value).startswith("airnode_")
        and not any(keyword.arg == "registry" for keyword in node.keywords)
    ]
    assert bare == []


# -- documents --------------------------------------------------------------------------------------------------------


def blocks(text: str) -> list[tuple[str, list[str]]]:
    """(language, lines) of the fenced blocks."""
    return [(match[1], match[2].splitlines()) for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)]


def commands(text: str) -> list[str]:
    """What a reader types: all of the ``sh`` blocks, and the left column of lists of commands."""
    found = []
    for language, lines in blocks(text):
        for line in lines:
            if language == "sh" and not line.startswith("#"):
                typed = re.sub(r"\s{2,}# .*$", "", line)
                found.append(re.sub(r"/(YOUR-STREAM-KEY|스트림-키)$", "/KEY", typed))
            elif line.startswith("airnode "):
                found.append(re.split(r"\s{2,}", line)[0])
    return found


def outside_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


def test_both_readmes_say_the_same():
    english, korean = ((ROOT / each).read_text() for each in ("README.md", "README.ko.md"))
    headings = [
        [len(level) for level in re.findall(r"^(#+) ", outside_blocks(text), re.M)] for text in (english, korean)
    ]
    assert headings[0] == headings[1]
    assert [language for language, _ in blocks(english)] == [language for language, _ in blocks(korean)]
    assert commands(english)
    assert commands(english) == commands(korean)
    links = [sorted(re.findall(r"\]\((docs/[^)]+|CHANGELOG\.md)\)", text)) for text in (english, korean)]
    assert links[0] == links[1]


#: Documents for people who work on the code.
MAPS = ["CONTRIBUTING.md", "docs/architecture.md", "docs/glossary.md"]


def known_names() -> set[str]:
    """Every name that is defined somewhere in the sources."""
    found = set()
    for _, node in nodes():
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            found |= {dotted(target).rpartition(".")[2] for target in targets}
    return found


@pytest.mark.parametrize("document", MAPS)
def test_the_maps_name_what_exists(document: str):
    text = outside_blocks((ROOT / document).read_text())
    quoted = re.findall(r"`([^`\s]+)`", text)
    files = [each for each in quoted if re.fullmatch(r"(airnode|roles|tests|deploy|docs|configs)(/[\w.]+)+/?", each)]
    assert [each for each in files if not (ROOT / each).exists()] == []
    sources_ = [name(path) for path in sources()] + [name(path) for path in (ROOT / "airnode/ui/src").rglob("*.ts")]
    short = [each for each in quoted if re.fullmatch(r"[\w/]+\.(py|ts)", each) and each not in files]
    assert [each for each in short if not any(f"/{path}".endswith(f"/{each}") for path in sources_)] == []
    modules = [
        each for each in quoted if re.fullmatch(r"(kernel|bus|web|store|runtime|cluster|media|pipeline)(\.\w+)+", each)
    ]
    known = known_names()
    missing = []
    for module in modules:
        parts = module.split(".")
        while parts and not any((ROOT / "airnode" / "/".join(parts)).with_suffix(end).exists() for end in ("", ".py")):
            if parts.pop() not in known:
                missing.append(module)
                break
    classes = [each for each in quoted if re.fullmatch(r"[A-Z][a-z]+(?:[A-Z][a-z0-9]*)+", each)]
    assert missing + [each for each in classes if each not in known] == []


@pytest.mark.parametrize("document", ["README.md", "README.ko.md", "CHANGELOG.md", *MAPS])
def test_links_lead_somewhere(document: str):
    folder = (ROOT / document).parent
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / document).read_text()):
        assert (folder / target).exists(), target


def leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    else:
        yield path, str(value)


def test_the_pages_speak_both_languages():
    folder = ROOT / "airnode" / "ui" / "src" / "i18n"
    english, korean = (
        {key: text for file in sorted((folder / each).iterdir()) for key, text in leaves(json.loads(file.read_text()))}
        for each in ("en", "ko")
    )
    assert english.keys() == korean.keys()
    for key, text in itertools.chain(english.items(), korean.items()):
        assert text.strip(), key
    for key, text in english.items():
        assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", korean[key])), key


# -- start-up ---------------------------------------------------------------------------------------------------------


def test_the_command_imports_nothing_heavy():
    code = "import sys, airnode.cli; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "click" in imported
    assert imported & {"aiohttp", "pydantic", "redis", "asyncpg", "orjson", "structlog", "jwt", "uvloop"} == set()
