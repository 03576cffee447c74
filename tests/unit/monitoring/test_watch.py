"""What a watch makes of its samples, from plain values."""

import io
import json
import math
import threading
from datetime import datetime
from typing import Any

import pytest
from pytest_subprocess import FakeProcess
from rich.console import Console

from ccr_avn import clock
from ccr_avn.errors import AvnError, UsageError
from ccr_avn.monitoring.loop import Alert, Goal, Platform, watch
from ccr_avn.monitoring.probe import EVENTS_KEPT, KEPT, Probe, Sample, Stats, happened, known
from ccr_avn.monitoring.prometheus import Metrics
from ccr_avn.output.overview import picture, sparkline, summary_lines
from ccr_avn.units import format_lag
from tests.support.factories import listed, service, side

PRIMARY, REPLICA = side("master", 100), side("slave", 90)


def sample(at: float = 1.0, **more: Any) -> Sample:
    told: dict[str, Any] = {"link": "up", "lag_bytes": 10, "lag_ms": 2.0, "arrived": True}
    return Sample(**{"at": at, "primary": PRIMARY, "replica": REPLICA, **told, **more})


SILENT: dict[str, Any] = {"primary": None, "primary_trouble": "p0: no answer", "lag_ms": None, "arrived": False}


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (None, sample(), ()),
        (None, sample(link="down", replica_trouble="x"), ("x", "link: down")),
        (sample(), sample(), ()),
        (sample(), sample(link="down"), ("link down, was up",)),
        (sample(), sample(link="unknown"), ()),
        (sample(link="unknown"), sample(link="down"), ("link down",)),
        (sample(), sample(**SILENT), ("primary does not answer: p0: no answer",)),
        (sample(**SILENT), sample(), ("primary answers again",)),
        (sample(), sample(primary=side("master", 1, run_id="other")), ("primary was restarted",)),
        (
            sample(),
            sample(replica=side("master", 1, run_id="f"), link="no primary"),
            ("replica is now a master (promoted)", "link no primary, was up"),
        ),
        (sample(primary_state="RUNNING"), sample(primary_state="POWEROFF"), ("primary is POWEROFF, was RUNNING",)),
        (sample(), sample(write_trouble="held back"), ("primary: held back",)),
        (sample(write_trouble="held back"), sample(), ("primary: writes succeed again",)),
        (sample(), sample(**SILENT, write_trouble="held back"), ("primary does not answer: p0: no answer",)),
    ],
)
def test_what_happened(before: Sample | None, now: Sample, told: tuple[str, ...]) -> None:
    assert happened(before, now) == told


def test_a_restart_during_silence_shows_afterwards() -> None:
    silent = known(sample(), sample(**SILENT, link="unknown"))
    assert silent.link == "up"
    after = sample(primary=side("master", 1, run_id="other"))
    assert happened(silent, after) == ("primary answers again", "primary was restarted")


def test_a_sample_is_plain_data() -> None:
    told = json.loads(json.dumps(sample(lag_ms=1.23456).as_dict()))
    assert told["lag_ms"] == 1.235
    assert told["primary"] == {"role": "master", "offset": 100, "history": PRIMARY.replid}
    assert told["last_io_seconds"] == 1
    assert datetime.fromisoformat(told["at"]).timestamp() == sample().at


def test_figures_stay_bounded() -> None:
    figures = Stats()
    for number in range(2 * KEPT):
        figures.add(sample(float(number), lag_ms=float(number)), ("something",))
    assert len(figures.lags) == KEPT
    assert len(figures.events) == EVENTS_KEPT
    summary = figures.summary()
    assert summary["samples"] == summary["events"] == 2 * KEPT
    assert summary["lag_ms"]["min"] == 0
    assert summary["lag_ms"]["max"] == 2 * KEPT - 1
    assert summary["lag_ms"]["median"] > KEPT
    assert summary["link_up_percent"] == 100
    assert Stats().summary()["lag_ms"]["p99"] is None
    assert summary["lag_ms"]["p99"] == 2 * KEPT - 37, "a value that was seen"
    assert "markers arrived" in summary_lines(("a", "b"), figures)[0]


def test_what_the_platform_says_steers_no_terminal() -> None:
    figures = Stats()
    odd = sample(primary_state="\x1b[2J[red]", primary_trouble="\x1b]0;x\x07\nno answer", lag_bytes=None)
    figures.add(odd, ("replica is \x9b5n\x1b[1m",))
    written = io.StringIO()
    console = Console(file=written, width=200, force_terminal=False)
    console.print(picture(("eu", "us"), figures, 200))
    shown = written.getvalue() + "\n".join(summary_lines(("eu", "us"), figures))
    assert not [one for one in shown if one != "\n" and not one.isprintable()]
    assert "\\x1b[2J[red]" in shown


def test_sparkline() -> None:
    assert sparkline([]) == ""
    assert sparkline([0, 0.5, 1]) == "▁▅█"
    assert sparkline([0, 1000]) == "▁█"
    assert (format_lag(None), format_lag(2), format_lag(2500)) == ("-", "2.0 ms", "2.5 s")


def test_an_alert_fires_once_for_a_crossing() -> None:
    alert = Alert(100, (), ("eu", "us"))
    assert alert.judge(sample(lag_ms=99)) == ()
    assert alert.judge(sample(lag_ms=100)) == ("alert: lag 100 ms, limit 100 ms",)
    assert alert.judge(sample(lag_ms=500)) == ()
    assert alert.judge(sample(lag_ms=None)) == ()
    assert alert.judge(sample(lag_ms=5)) == ("alert over: lag 5 ms",)


def test_an_alert_command_that_is_not_there_is_told(fp: FakeProcess) -> None:
    fp.allow_unregistered(True)
    alert = Alert(100, ("/no/such/command",), ("eu", "us"))
    alert.judge(sample(lag_ms=100))
    seen = alert.judge(sample(lag_ms=100))  # of a command that takes longer than a sample nothing is lost
    alert.wait()
    seen += alert.judge(sample(lag_ms=100))
    assert seen == ("alert command can't be run: No such file or directory",)


@pytest.mark.parametrize(
    ("goal", "given", "reached"),
    [
        (Goal(below=11, unit="bytes"), sample(), True),
        (Goal(below=10, unit="bytes"), sample(), False),
        (Goal(below=11, unit="bytes"), sample(link="down"), False),
        (Goal(below=11, unit="bytes"), sample(lag_bytes=None), False),
        (Goal(below=3, unit="ms"), sample(), True),
        (Goal(below=3, unit="ms"), sample(arrived=False), False),
    ],
)
def test_goals(goal: Goal, given: Sample, reached: bool) -> None:
    assert goal.reached(given) is reached


class Scripted(Probe):
    """Gives prepared samples, the last one over and over, and moves the clock by what is slept."""

    round_trip = math.inf

    def __init__(self, *samples: Sample) -> None:
        self._samples = list(samples)
        self.time = 0.0
        self.pauses: list[float] = []

    def sample(self, states: tuple[str, ...] = ("", "")) -> Sample:
        return self._samples.pop(0) if len(self._samples) > 1 else self._samples[0]

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds
        assert len(self.pauses) < 50, "it goes on and on"


def run(*samples: Sample, interval: float = 1, **more: Any) -> tuple[str, Scripted, Stats]:
    script, figures = Scripted(*samples), Stats()
    terms = {"interval": interval, "limit": None, "goal": None, **more}
    moved = clock.Clock()
    moved.monotonic, moved.sleep = lambda: script.time, script.pause  # type: ignore[method-assign]
    with clock.replaced_by(moved):
        ended = watch(script, Platform(SERVICES, tuple, 0), figures, None, show=lambda *_: None, **terms)
    return ended, script, figures


def test_the_loop_ends_as_it_was_asked_to() -> None:
    ended, script, figures = run(sample(), limit=3.5)
    assert (ended, script.pauses, figures.samples) == ("time is up", [1, 1, 1, 0.5], 4)
    assert run(sample(lag_bytes=50), sample(), goal=Goal(below=11, unit="bytes"))[0] == "reached"


def test_it_is_told_once_when_samples_are_wanted_too_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted, "round_trip", 0.15)
    [(_, told)] = run(sample(), interval=0.1, limit=2)[2].events
    assert told == "--interval 0.1 is below two round trips (150 ms each): samples will be late"
    assert not run(sample(), interval=0.3, limit=6)[2].events


SERVICES = tuple(pair.services[0] for pair in listed(service("eu"), service("us")))


def test_the_platform_is_asked_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    off = tuple(pair.services[0] for pair in listed(service("eu", state="POWEROFF"), service("us")))
    answers: list[Any] = [AvnError("no luck"), KeyError("x"), off]

    def ask() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    platform, seen, over, stopped = Platform(SERVICES, ask, 9), [], threading.Event(), threading.Event()

    def wait(_: threading.Event, seconds: float) -> bool:
        assert seconds == 9
        seen.append((platform.trouble, platform.states[0]))
        if not answers:
            over.set()
            stopped.wait()
        return True

    monkeypatch.setattr(clock, "wait", wait)
    platform.start()
    assert over.wait(60)
    platform.stop()
    stopped.set()
    assert seen == [("", "RUNNING"), ("no luck", "RUNNING"), ("internal error: KeyError", "RUNNING"), ("", "POWEROFF")]


def test_metrics_leave_out_what_is_not_known() -> None:
    metrics = Metrics(("eu", "us"), "p", "0")
    try:
        assert list(metrics.points()) == []
        metrics.show(sample(5.0))
        metrics.show(sample(6.0, **SILENT, link="down", lag_bytes=None))
        found = {(name, *labels.values()): value for name, labels, value in metrics.points()}
        assert found["ccr_last_verified_timestamp_seconds", "eu", "us"] == 5
        assert found["ccr_link_up", "eu", "us"] == 0
        assert found["ccr_up", "eu"] == 0
        assert found["ccr_replica_offset_bytes", "us"] == 90
        assert ("ccr_marker_lag_seconds", "eu", "us") not in found
    finally:
        metrics.close()


def test_a_port_in_use_is_explained() -> None:
    metrics = Metrics(("eu", "us"), "p", "0")
    try:
        with pytest.raises(UsageError, match="can't listen"):
            Metrics(("eu", "us"), "p", metrics.url.removeprefix("http://").removesuffix("/metrics"))
    finally:
        metrics.close()
