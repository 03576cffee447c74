"""Imports point one way, and what one room alone may do is done there alone."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "ccr_avn"
TESTS = Path(__file__).parents[1]

ORDER: tuple[tuple[str, ...], ...] = (
    (
        "errors",
        "clock",
        "background",
        "printable",
        "redact",
        "process",
        "loaded_avn",
        "warm_avn",
        "signals",
        "typed",
        "connection",
        "files",
        "units",
        "options",
    ),
    ("plan",),
    ("aiven",),
    ("valkey",),
    ("procedures",),
    ("output", "monitoring", "history", "hooks", "evacuate"),
    ("sandbox",),
    ("cli", "__main__"),
)
"""The rooms by floor: each may import from its own floor and from those before it."""

ALONE = {"sandbox": {*ORDER[0], "sandbox"}}
"""Rooms that know nothing of the others, but what serves all."""


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(ORDER) if room in rooms)


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text())))


def imports(path: Path) -> set[str]:
    """The rooms that a file imports, also lazily."""
    found = set()
    for node in nodes(path):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ccr_avn"):
            names = [f"ccr_avn.{alias.name}" for alias in node.names] if node.module == "ccr_avn" else [node.module]
        found |= {room_of(name) for name in names if name.startswith("ccr_avn.")}
    return found - {"__version__"}


FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


ROOMS = sorted({path.relative_to(ROOT).parts[0].removesuffix(".py") for path in FILES})
in_every_room = pytest.mark.parametrize("room", ROOMS)


def files_of(room: str) -> list[Path]:
    return [path for path in FILES if path.relative_to(ROOT).parts[0].removesuffix(".py") == room]


@in_every_room
def test_imports_point_one_way(room: str) -> None:
    for path in files_of(room):
        for other in imports(path):
            assert floor_of(other) <= floor_of(room), f"{path.name} imports {other}"
            assert room not in ALONE or other in ALONE[room], f"{path.name} imports {other}"


@in_every_room
def test_what_one_room_alone_may_do(room: str) -> None:
    for path in files_of(room):
        text, name = path.read_text(), str(path.relative_to(ROOT))
        imported = {alias.name for node in nodes(path) if isinstance(node, ast.Import) for alias in node.names}
        may_start = name == "process.py" or name.startswith("sandbox/")
        assert may_start or "subprocess" not in imported, name
        assert "dry_run" not in text or name.startswith("cli/"), name
        assert "typer" not in text or name.startswith("cli/"), name
        assert len(text) <= 20_000, f"{name} has grown large"


BY_DOORS = ("plan", "aiven", "valkey", "procedures", "history", "monitoring", "evacuate", "hooks", "signals", "cli")
"""Rooms of which a test can stop the clock, and step what goes on beside a run."""


@pytest.mark.parametrize("room", BY_DOORS)
def test_time_threads_and_sockets_have_a_door_each(room: str) -> None:
    """Clocks and sleeping are in clock.py, threads in background.py; a server is reached by valkey/endpoint.py."""
    for path in files_of(room):
        named = {name.split(".")[0] for name in named_at_the_top(path)}
        assert "time" not in named, f"{path.name}: the time is asked of clock.py"
        for call in (node for node in nodes(path) if isinstance(node, ast.Call)):
            called, where = ast.unparse(call.func), f"{path.name}:{call.lineno}"
            assert called.split(".")[-1] not in ("Thread", "Timer"), f"{where}: threads are started by background.py"
            opens = called in ("socket.socket", "socket.create_connection")
            assert path == ROOT / "valkey/endpoint.py" or not opens, (
                f"{where}: sockets are opened by valkey/endpoint.py"
            )


HEAVY = {"rich", "pydantic", "valkey", "jinja2", "prometheus_client"}


def named_at_the_top(path: Path) -> set[str]:
    """The modules that importing this one imports, and what is perhaps one."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def loaded_with(module: str) -> set[str]:
    """All that importing a module loads, by the tops of files."""
    found: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        places = [ROOT.parent / f"{name.replace('.', '/')}{end}" for end in (".py", "/__init__.py")]
        new = {one for path in places if path.exists() for one in named_at_the_top(path)} - found
        found |= new
        todo += [one for one in new if one.startswith("ccr_avn")]
    return found


def test_the_command_line_starts_without_heavy_imports() -> None:
    for path in (ROOT / "cli").glob("*.py"):
        assert not {name.split(".")[0] for name in named_at_the_top(path)} & HEAVY, path


@pytest.mark.parametrize("module", ["options", "failover", "status", "evacuate"])
def test_what_starts_avn_early_loads_nothing_heavy_before(module: str) -> None:
    """These ask avn first of all: what takes long to load is loaded meanwhile."""
    assert not {name.split(".")[0] for name in loaded_with(f"ccr_avn.cli.{module}")} & HEAVY
    assert {name.split(".")[0] for name in loaded_with("ccr_avn.cli.conduct")} & HEAVY


def test_a_command_is_loaded_when_it_is_called() -> None:
    """The list of commands, their version and completing their names cost no command's module."""
    import ccr_avn.cli as room

    top = [node for node in ast.parse(Path(str(room.__file__)).read_text()).body if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in top if node.module == "ccr_avn.cli" for alias in node.names}
    assert not names


def test_imports_inside_functions_are_few() -> None:
    """A command's module is what is loaded lazily, not every function."""
    inside = [
        node
        for path in FILES
        for function in nodes(path)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert len(inside) < 60


def test_no_test_module_imports_another() -> None:
    """What several tests share is in tests/support: a test can be read, moved and deleted alone."""
    for path in TESTS.rglob("test_*.py"):
        for node in nodes(path):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            shared = [name for name in names if name.startswith("tests.") and ".test_" in name]
            assert not shared, f"{path.relative_to(TESTS)} imports {shared}"


def test_no_test_measures_time_or_sleeps() -> None:
    """A busy machine is no fault: tests wait for conditions (tests/support/wait.py), scripts/bench measures."""
    for path in (one for one in TESTS.rglob("test_*.py") if "import time" in one.read_text()):
        for node in nodes(path):
            shown = ast.unparse(node) if isinstance(node, (ast.Attribute, ast.BinOp)) else ""
            assert not re.match(r"time\.(sleep$|\w+\(\) - \w)", shown), f"{path.relative_to(TESTS)}: {shown}"


PRINTS = {"console.py", "sandbox/run.py"}
"""Who may touch the standard streams: the safe writer, and the words that a shell is to evaluate."""


@in_every_room
def test_all_that_is_shown_goes_through_the_safe_writer(room: str) -> None:
    for path in (one for one in files_of(room) if str(one.relative_to(ROOT)) not in PRINTS):
        for call in (node for node in nodes(path) if isinstance(node, ast.Call)):
            called, where = ast.unparse(call.func), f"{path.name}:{call.lineno}"
            assert called not in ("print", "typer.echo", "typer.confirm", "typer.prompt", "input"), where
            assert called not in ("sys.stdout.write", "sys.stderr.write"), where
            assert called != "Console" or any(word.arg == "file" for word in call.keywords), f"{where}: rich writes"
