"""`status` as it is typed: one health in every format, expected pairs, drills, and whatever keeps it from telling."""

import io
import json
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ccr_avn import clock
from ccr_avn.aiven import models
from ccr_avn.errors import AvnError, Interrupted
from ccr_avn.history.journals import Drilled
from ccr_avn.monitoring.status import CODES
from ccr_avn.output.overview import Repeated
from ccr_avn.procedures.drill.ours import TAG, made_tag
from tests.support.factories import row
from tests.support.in_process import Said, Types
from tests.support.monitored import CLOSED, failed_over, linked, made
from tests.support.operator import STAMP


class Status:
    """`status` as it is typed, of what avn lists or fails with."""

    def __init__(self, types: Types, monkeypatch: pytest.MonkeyPatch) -> None:
        self._types, self.listed = types, tuple[dict[str, Any], ...]()
        self.error: Exception | None = None
        monkeypatch.setattr("ccr_avn.cli.options.Reaching.begin", lambda *_: self._answer)

    def _answer(self) -> Any:
        if self.error:
            raise self.error
        return models.services(json.dumps(self.listed))

    def __call__(self, *words: str) -> Said:
        return self._types("status", "--no-data-plane", *words)


@pytest.fixture
def status(types: Types, monkeypatch: pytest.MonkeyPatch) -> Status:
    return Status(types, monkeypatch)


@pytest.mark.parametrize(
    ("services", "words", "code"),
    [
        (linked(), (), 0),
        (failed_over(**CLOSED), (), 1),
        (failed_over(), (), 2),
        ((made("alone", 1),), (), 3),
        ((made("alone", 1),), ("alone",), 3),
        (linked(), ("--expect", "p0:r0"), 0),
        (linked(), ("--expect", "p0:r1"), 2),
        ((made("eu", 1), *linked()), ("eu", "--expect", "p0:r1"), 2),
    ],
)
def test_the_exit_code_is_the_health_in_every_format(
    services: tuple[dict[str, Any], ...], words: tuple[str, ...], code: int, status: Status
) -> None:
    status.listed = services
    assert status(*words).code == 0
    assert status(*words, "--format", "nagios").code == code
    for form in ("table", "json", "prometheus"):
        assert status(*words, "--format", form, "--exit-code").code == code
    assert CODES[json.loads(status(*words, "--json").out)["result"]["health"]] == code


def drilled(name: str, *rows: dict[str, Any]) -> dict[str, Any]:
    """With the tags that a drill of p0 set on it."""
    run = "20260102T030405000Z-abc123"
    mine, source = models.services(json.dumps([made(name, 5, *rows), made("p0", 3)]))
    tags = dict(one.split("=", 1) for one in (f"{TAG}={run}", made_tag(run, mine, source, 0)))
    return made(name, 5, *rows, tags=tags)


def test_an_expected_pair_is_judged_as_one_also_where_a_drill_made_it(status: Status) -> None:
    lost = {**row("p0", "e"), "active": False}
    status.listed = made("p0", 3, lost), drilled("e", lost)
    assert status("--format", "nagios").code == 3
    said = status("--expect", "p0:e", "--format", "nagios")
    assert (said.code, "drill" in said.out) == (1, False)


def test_copied_tags_of_a_drill_hide_no_outage(status: Status) -> None:
    lost = {**row("p0", "r0"), "active": False}
    status.listed = made("p0", 3, lost), {**made("r0", 4, lost), "tags": drilled("e")["tags"]}
    assert status("--format", "nagios").code == 1


def test_what_the_last_drill_left_untested_is_said(status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    status.listed = *linked(), drilled("drilled")
    last = Drilled(run="R", age=0.0, ok=False, rto_ms=None, failed=(), untested=("filter-refuses",))
    monkeypatch.setattr("ccr_avn.history.journals.newest_drills", lambda _: {"p0": last})
    said = status("--exit-code")
    assert said.code == 0
    assert "last drill of p0: today (R, critical and not tested: filter-refuses)" in said.out
    assert "next: ccr-avn drill --clean --only drilled" in said.out


def test_a_time_limit_that_the_interpreter_dropped_comes_again(types: Types, monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf(*_: Any) -> Any:
        with suppress(Interrupted):  # as what is raised in a callback of an import is
            signal.pause()
        signal.pause()

    monkeypatch.setattr("ccr_avn.cli.options.Reaching.begin", deaf)
    monkeypatch.setattr("ccr_avn.cli.status.AGAIN", 0.1)
    said = types("status", "--format", "nagios", "--timeout", "0.01")
    assert (said.code, "the time limit of this run was reached" in said.out) == (3, True)


def test_a_failure_of_ours_is_no_health_of_a_pair(status: Status) -> None:
    status.error = AvnError("avn failed", detail="why", hint="avn user info")
    said = status("--exit-code")
    assert said.code == 3
    assert said.err.splitlines()[:3] == ["error: avn failed", "detail: why", "hint: avn user info"]
    status.error = KeyError("x")
    assert status("--exit-code").code == 3


def test_expected_pairs_come_from_a_file(tmp_path: Path, status: Status) -> None:
    status.listed = linked()
    file = tmp_path / "pairs"
    file.write_text("# what must be there\n\np0:r0  # the cache\np1:r1\n")
    said = status("--json", "--expect", f"@{file}", "--expect", "p2:r2")
    pairs = json.loads(said.out)["result"]["pairs"]
    health = {one["primary"]: one["health"] for one in pairs}
    assert (said.code, health) == (0, {"p0": "ok", "p1": "critical", "p2": "critical"})
    file.write_text("# nothing\n")
    for given in (f"@{file}", f"@{tmp_path}/none", "p0", "p0:p0", "P0:r0", "p0:"):
        refused = status("--expect", given)
        assert (refused.code, refused.err.startswith("error: ")) == (2, True)


def test_what_can_not_be_read_is_told(status: Status) -> None:
    status.listed = *linked(), made("odd", 1, backups=[{"backup_name": 7}])
    said = status()
    assert (said.code, "warning: odd" in said.err) == (0, True)
    assert json.loads(status("--json").out)["warnings"]
    said = status("--format", "nagios")
    assert (said.code, "odd" in said.out) == (0, True)


def test_what_is_typed_wrongly_is_no_health_either_and_one_line_for_nagios(status: Status) -> None:
    status.listed = linked()
    for typed in ("nope", "--bogus", "--warn-lag x", "--warn-lag 9 --crit-lag 1", "UPPER", "--expect x"):
        assert status("--exit-code", *typed.split()).code == 3
        said = status("--format", "nagios", *typed.split())
        assert (said.code, said.out.startswith("CCR UNKNOWN - "), said.out.count("\n")) == (3, True, 1)


def test_otherwise_codes_are_those_of_the_other_commands(status: Status) -> None:
    assert status("nope").code == 4
    assert status("--output", "x").code == 2
    assert status("--json", "--format", "nagios").code == 3
    assert status("--json", "--format", "prometheus").code == 2
    for listed, told in (((), "no Valkey or Redis services"), ((made("alone", 1),), "unknown: there is no pair")):
        status.listed = listed
        said = status()
        assert (said.code, told in said.out) == (0, True)


class Watched(clock.Clock):
    """Between two looks something happens; when nothing more does, Ctrl-C."""

    def __init__(self, *happens: Callable[[], None], signal: int = 2) -> None:
        self.happens, self.signal, self.slept = list(happens), signal, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.happens:
            raise Interrupted(self.signal)
        self.happens.pop(0)()


@pytest.mark.parametrize(("words", "code"), [(("--exit-code",), 2), ((), 0)])
def test_a_watch_repeats_the_table_with_its_time_and_ends_as_the_last_look_did(
    words: tuple[str, ...], code: int, status: Status
) -> None:
    status.listed = linked()
    watched = Watched(lambda: setattr(status, "listed", failed_over()))
    with clock.replaced_by(watched):
        said = status("--watch", "30", *words)
    assert (said.code, watched.slept) == (code, [30, 30])
    first, second = said.out.rstrip("\n").split("\n\n")
    for block, health in ((first, "ok"), (second, "critical")):
        at, _, top, *_ = block.splitlines()
        assert STAMP.fullmatch(f"{at} ")
        assert top.startswith(health)


def test_a_look_that_fails_is_said_and_tried_again(status: Status) -> None:
    lost = AvnError("avn failed", detail="no network")
    fails, comes_back = (lambda: setattr(status, "error", lost)), (lambda: setattr(status, "error", None))
    watched = Watched(fails, comes_back)
    status.listed = linked()
    with clock.replaced_by(watched):
        said = status("--watch")
    assert (said.code, said.out.count("error: avn failed (no network)")) == (0, 1)
    assert watched.slept == [10, 10, 10], "its time may be left out"
    with clock.replaced_by(Watched(fails)):
        assert status("--watch", "--exit-code").code == lost.exit_code
    with clock.replaced_by(Watched()):
        assert status("--watch").code == lost.exit_code, "the first look is a status like any other"


def test_a_watch_ends_otherwise_by_another_signal_and_is_for_the_table(status: Status) -> None:
    status.listed = linked()
    with clock.replaced_by(Watched(signal=15)):
        assert status("--watch=5").code == 143
    for words in (["--watch", "0"], ["--watch", "--json"], ["--watch", "--format", "nagios"]):
        assert status(*words).code in (2, 3)


def test_the_age_of_what_is_watched_is_shown_while_avn_does_not_answer() -> None:
    now = Watched(lambda: None)
    looks: list[Any] = [("\x1b[32mok\x1b[0m  a", 0), AvnError("avn failed", detail="no network")]

    def look() -> tuple[str, int]:
        found = looks.pop(0)
        if isinstance(found, Exception):
            raise found
        text, code = found
        return str(text), int(code)

    def picture() -> list[str]:
        screen = Console(file=io.StringIO(), width=60, color_system=None)
        with screen.capture() as captured:
            screen.print(watching.picture(screen))
        return captured.get().splitlines()

    watching = Repeated(look, 5)
    assert picture() == ["every 5 s; Ctrl-C ends", "asking avn …"]
    with clock.replaced_by(now):
        assert watching.go_on() == AvnError.code
        now.now = lambda: time.time() + 90  # type: ignore[method-assign]
        head, trouble, table = picture()
    assert head.endswith(" 90 s ago; every 5 s; Ctrl-C ends")
    assert (trouble, table) == ("the last check failed: avn failed (no network)", "ok  a")
