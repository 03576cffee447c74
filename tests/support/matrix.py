"""Every combination of some words as cases of a test; all but the normal ones are slow."""

import itertools
from collections.abc import Collection, Iterable
from typing import Any

import pytest


def matrix(*parts: Iterable[str], normal: Collection[tuple[str, ...]]) -> list[Any]:
    return [pytest.param(*one, marks=() if one in normal else pytest.mark.slow) for one in itertools.product(*parts)]
