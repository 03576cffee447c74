"""No unit test starts a process by accident, nor ends one: whatever is not registered is refused."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings
from pytest_subprocess import FakeProcess

from ccr_avn import clock
from tests.support.ticks import Ticks

EXAMPLES = int(os.environ.get("CCR_AVN_TESTS_EXAMPLES", "100"))

settings.register_profile("unhurried", deadline=None, max_examples=EXAMPLES)  # no test measures time
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def no_real_process(fp: FakeProcess, monkeypatch: pytest.MonkeyPatch) -> FakeProcess:
    """A fake process has a small number: ended as a group, 1 would be every process of the machine."""

    def refuse(group: int, _: int) -> None:
        raise ProcessLookupError(group)

    monkeypatch.setattr(os, "killpg", refuse)
    monkeypatch.setenv("CCR_AVN_NO_PRELOAD", "1")
    return fp


@pytest.fixture
def ticks() -> Iterator[Ticks]:
    """The time, as everybody is told it meanwhile."""
    with clock.replaced_by(made := Ticks()):
        yield made
