"""Every test that docs/promises.md names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(?:[\w/]+::)?(…?\w*test_\w+|…\w+)(…?)`")
THERE = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in (path.stem, *re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
}


def is_there(name: str, *, elided: bool) -> bool:
    """``…`` stands for what is left out at the beginning or the end."""
    part = name.strip("…")
    if name.startswith("…"):
        return any(part in one for one in THERE)
    return any(one.startswith(part) for one in THERE) if elided else part in THERE


@pytest.mark.parametrize(
    "match", [*NAMED.finditer((ROOT / "docs" / "promises.md").read_text())], ids=lambda one: one.group()
)
def test_every_promise_names_a_test_that_is_there(match: re.Match[str]) -> None:
    assert is_there(match.group(1), elided=bool(match.group(2)))
