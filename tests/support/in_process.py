"""Commands as they are typed, in the process of the test."""

from typing import NamedTuple, Protocol

import pytest

from ccr_avn.cli.boundary import run


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Types(Protocol):
    def __call__(self, *words: str) -> Said: ...


@pytest.fixture
def types(capsys: pytest.CaptureFixture[str]) -> Types:
    def type_in(*words: str) -> Said:
        capsys.readouterr()
        return Said(run(list(words)), *capsys.readouterr())

    return type_in
