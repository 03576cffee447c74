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
from ccr_avn.cli.boundary import run
from ccr_avn.errors import AvnError, Interrupted
from ccr_avn.history.journals import Drilled
from ccr_avn.monitoring.status import CODES
from ccr_avn.output.overview import Repeated
from ccr_avn.procedures.drill.ours import TAG, made_tag
from tests.support.factories import row
from tests.support.monitored import CLOSED, failed_over, linked, made
from tests.support.operator import STAMP


def shown(monkeypatch: pytest.MonkeyPatch, *services: dict[str, Any], error: Exception | None = None) -> None:
    """Have avn list these."""

    def begin(*_: Any) -> Any:
        def answer() -> Any:
            if error:
                raise error
            return models.services(json.dumps(services))

        return answer

    monkeypatch.setattr("ccr_avn.cli.options.Reaching.begin", begin)


LOCAL = ("status", "--no-data-plane")


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
    services: tuple[dict[str, Any], ...],
    words: tuple[str, ...],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown(monkeypatch, *services)
    assert run([*LOCAL, *words]) == 0
    assert run([*LOCAL, *words, "--format", "nagios"]) == code
    for form in ("table", "json", "prometheus"):
        assert run([*LOCAL, *words, "--format", form, "--exit-code"]) == code
    capsys.readouterr()
    run([*LOCAL, *words, "--json"])
    assert CODES[json.loads(capsys.readouterr().out)["result"]["health"]] == code


def drilled(name: str, *rows: dict[str, Any]) -> dict[str, Any]:
    """With the tags that a drill of p0 set on it."""
    run = "20260102T030405000Z-abc123"
    mine, source = models.services(json.dumps([made(name, 5, *rows), made("p0", 3)]))
    tags = dict(one.split("=", 1) for one in (f"{TAG}={run}", made_tag(run, mine, source, 0)))
    return made(name, 5, *rows, tags=tags)


def test_an_expected_pair_is_judged_as_one_also_where_a_drill_made_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = {**row("p0", "e"), "active": False}
    shown(monkeypatch, made("p0", 3, lost), drilled("e", lost))
    assert run([*LOCAL, "--format", "nagios"]) == 3
    assert run([*LOCAL, "--expect", "p0:e", "--format", "nagios"]) == 1
    assert "drill" not in capsys.readouterr().out


def test_copied_tags_of_a_drill_hide_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = {**row("p0", "r0"), "active": False}
    shown(monkeypatch, made("p0", 3, lost), {**made("r0", 4, lost), "tags": drilled("e")["tags"]})
    assert run([*LOCAL, "--format", "nagios"]) == 1


def test_what_the_last_drill_left_untested_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(monkeypatch, *linked(), drilled("drilled"))
    last = Drilled(run="R", age=0.0, ok=False, rto_ms=None, failed=(), untested=("filter-refuses",))
    monkeypatch.setattr("ccr_avn.history.journals.newest_drills", lambda _: {"p0": last})
    assert run([*LOCAL, "--exit-code"]) == 0
    told = capsys.readouterr().out
    assert "last drill of p0: today (R, critical and not tested: filter-refuses)" in told
    assert "next: ccr-avn drill --clean --only drilled" in told


def test_a_time_limit_that_the_interpreter_dropped_comes_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def deaf(*_: Any) -> Any:
        with suppress(Interrupted):  # as what is raised in a callback of an import is
            signal.pause()
        signal.pause()

    monkeypatch.setattr("ccr_avn.cli.options.Reaching.begin", deaf)
    monkeypatch.setattr("ccr_avn.cli.status.AGAIN", 0.1)
    assert run(["status", "--format", "nagios", "--timeout", "0.01"]) == 3
    assert "the time limit of this run was reached" in capsys.readouterr().out


def test_a_failure_of_ours_is_no_health_of_a_pair(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(monkeypatch, error=AvnError("avn failed", detail="why", hint="avn user info"))
    assert run([*LOCAL, "--exit-code"]) == 3
    assert capsys.readouterr().err.splitlines()[:3] == ["error: avn failed", "detail: why", "hint: avn user info"]
    shown(monkeypatch, error=KeyError("x"))
    assert run([*LOCAL, "--exit-code"]) == 3


def test_expected_pairs_come_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(monkeypatch, *linked())
    file = tmp_path / "pairs"
    file.write_text("# what must be there\n\np0:r0  # the cache\np1:r1\n")
    assert run([*LOCAL, "--json", "--expect", f"@{file}", "--expect", "p2:r2"]) == 0
    pairs = json.loads(capsys.readouterr().out)["result"]["pairs"]
    assert [(one["primary"], one["health"]) for one in pairs] == [
        ("p0", "ok"),
        ("p1", "critical"),
        ("p2", "critical"),
    ]
    file.write_text("# nothing\n")
    for given in (f"@{file}", f"@{tmp_path}/none", "p0", "p0:p0", "P0:r0", "p0:"):
        assert run([*LOCAL, "--expect", given]) == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_what_can_not_be_read_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown(monkeypatch, *linked(), made("odd", 1, backups=[{"backup_name": 7}]))
    assert run([*LOCAL]) == 0
    assert "warning: odd" in capsys.readouterr().err
    run([*LOCAL, "--json"])
    assert json.loads(capsys.readouterr().out)["warnings"]
    assert run([*LOCAL, "--format", "nagios"]) == 0
    assert "odd" in capsys.readouterr().out


def test_what_is_typed_wrongly_is_no_health_either_and_one_line_for_nagios(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(monkeypatch, *linked())
    for typed in ("nope", "--bogus", "--warn-lag x", "--warn-lag 9 --crit-lag 1", "UPPER", "--expect x"):
        assert run([*LOCAL, "--exit-code", *typed.split()]) == 3
        capsys.readouterr()
        assert run([*LOCAL, "--format", "nagios", *typed.split()]) == 3
        told = capsys.readouterr().out
        assert (told.startswith("CCR UNKNOWN - "), told.count("\n")) == (True, 1)


def test_otherwise_codes_are_those_of_the_other_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(monkeypatch)
    assert run([*LOCAL, "nope"]) == 4
    assert run([*LOCAL, "--output", "x"]) == 2
    assert run([*LOCAL, "--json", "--format", "nagios"]) == 3
    assert run([*LOCAL, "--json", "--format", "prometheus"]) == 2
    for services, told in (((), "no Valkey or Redis services"), ((made("alone", 1),), "unknown: there is no pair")):
        shown(monkeypatch, *services)
        assert run([*LOCAL]) == 0
        assert told in capsys.readouterr().out


class Watched(clock.Clock):
    """Between two looks something happens; when nothing more does, Ctrl-C."""

    def __init__(self, *happens: Callable[[], None], signal: int = 2) -> None:
        self.happens, self.signal, self.slept = list(happens), signal, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.happens:
            raise Interrupted(self.signal)
        self.happens.pop(0)()


def test_a_watch_repeats_the_table_with_its_time_and_ends_as_the_last_look_did(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, code in ((("--exit-code",), 2), ((), 0)):
        shown(monkeypatch, *linked())
        watched = Watched(lambda: shown(monkeypatch, *failed_over()))
        with clock.replaced_by(watched):
            assert run([*LOCAL, "--watch", "30", *words]) == code
        assert watched.slept == [30, 30]
        first, second = capsys.readouterr().out.rstrip("\n").split("\n\n")
        for block, health in ((first, "ok"), (second, "critical")):
            at, _, top, *_ = block.splitlines()
            assert STAMP.fullmatch(f"{at} ")
            assert top.startswith(health)


def test_a_look_that_fails_is_said_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(monkeypatch, *linked())
    lost = AvnError("avn failed", detail="no network")
    watched = Watched(lambda: shown(monkeypatch, error=lost), lambda: shown(monkeypatch, *linked()))
    with clock.replaced_by(watched):
        assert run([*LOCAL, "--watch"]) == 0
    assert watched.slept == [10, 10, 10], "its time may be left out"
    assert capsys.readouterr().out.count("error: avn failed (no network)") == 1
    with clock.replaced_by(Watched(lambda: shown(monkeypatch, error=lost))):
        assert run([*LOCAL, "--watch", "--exit-code"]) == lost.exit_code
    with clock.replaced_by(Watched()):
        assert run([*LOCAL, "--watch"]) == lost.exit_code, "the first look is a status like any other"


def test_a_watch_ends_otherwise_by_another_signal_and_is_for_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    shown(monkeypatch, *linked())
    with clock.replaced_by(Watched(signal=15)):
        assert run([*LOCAL, "--watch=5"]) == 143
    for words in (["--watch", "0"], ["--watch", "--json"], ["--watch", "--format", "nagios"]):
        assert run([*LOCAL, *words]) in (2, 3)


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
