"""Every test that docs/promises.md names is there, by the whole path that it gives."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMISES = (ROOT / "docs" / "promises.md").read_text()
NAMED = re.compile(r"`(?:((?:\w+/)*test_\w+)::)?(…?\w+…?)`|`((?:unit|simulation)/(?:\w+/)*test_\w+)`")


def text_of(module: str) -> str:
    """``unit/…`` and ``simulation/…`` are in tests, all else in tests/functional; empty: there is no such file."""
    path = ROOT / "tests" / (module if "/" in module else f"functional/{module}")
    return path.with_suffix(".py").read_text() if path.with_suffix(".py").is_file() else ""


def named() -> Iterator[tuple[str, str]]:
    """Module and test, as each line gives them: a name by itself is of the module before it, else of the section's."""
    section = ""
    for line in PROMISES.splitlines():
        if heading := re.match(r"## `(\w+)", line):
            section = module = f"test_{heading[1]}"
        module = section if line.startswith("|") else module if section else ""
        for given, name, whole in NAMED.findall(line):
            if whole or text_of(name):
                module = whole or name
                yield module, ""
            elif given or name.startswith("…") or "test_" in name:
                module = given or module
                yield module, name


def is_there(module: str, name: str) -> bool:
    """``…`` stands for what is left out at the beginning or the end."""
    pattern = re.escape(name).replace("…", r"\w*")
    return bool(re.search(rf"^def {pattern}\(" if name else "^def test_", text_of(module), re.MULTILINE))


@pytest.mark.parametrize(("module", "name"), sorted(set(named())))
def test_every_promise_names_a_test_that_is_there(module: str, name: str) -> None:
    assert is_there(module, name), f"`{module}::{name}` is named in docs/promises.md and is not in tests/"
