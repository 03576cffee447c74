"""What status reads of runs that have no end."""

from pathlib import Path
from typing import Any

import pytest

from ccr_avn.history import resume
from ccr_avn.plan.events import ChangeStarted, Event
from tests.unit.history.journals import DELETE, PAUSED_UNTIL, done, ended, started, switched, write

LATER = PAUSED_UNTIL + 60
SENT = ChangeStarted(at=0.8, slug="promote", argv=DELETE, final=True)
PAUSED = (
    ChangeStarted(at=0.5, slug="fence", argv=("ccr-avn", "fence", "eu"), final=False),
    done("fence", 0.6, "writes are held back", "changed", 0.1, writes_paused_until=PAUSED_UNTIL),
)
MADE = ChangeStarted(at=0.5, slug="replica", argv=("avn", "service", "create", "us"), final=False)


def run(number: int) -> str:
    return f"2026010{number}T030405000Z-abc123"


def found(now: float = LATER) -> list[tuple[str, ...]]:
    stories = resume.unfinished("p", now)
    return [(one.run, one.command, one.primary, one.replica, " ".join(resume.next_command(one)[:4])) for one in stories]


UNDER_WAY: dict[str, tuple[str, tuple[Event, ...]]] = {
    "promotion sent": ("switchover", (*PAUSED, SENT)),
    "failover sent": ("failover", (SENT,)),
    "replica being made": ("enable", (MADE,)),
}


@pytest.mark.parametrize("name", UNDER_WAY)
def test_a_run_that_changed_something_and_has_no_end_is_found_with_what_resumes_it(where: Path, name: str) -> None:
    command, happened = UNDER_WAY[name]
    write(where, run(1), [started(run(1), command, argv=(command, "eu", "us", "--yes")), *happened])
    assert found() == [(run(1), command, "eu", "us", f"ccr-avn {command} eu us")]
    half = where / f"{run(1)}.jsonl"
    half.write_text(half.read_text() + '{"event": "Loo')
    assert len(found()) == 1, "it died while writing"


def test_what_only_paused_writes_is_over_with_the_pause(where: Path) -> None:
    write(where, run(1), [started(run(1)), *PAUSED])
    assert [one[0] for one in found(PAUSED_UNTIL - 1)] == [run(1)]
    assert found(LATER) == []


LATER_RUNS: dict[str, tuple[list[Any], bool]] = {
    "the same again, to the end": (switched(run(2)), True),
    "the same again, refused": ([started(run(2)), ended(0.2, ok=False, changed=False, code=4)], False),
    "checked": ([started(run(2), argv=("switchover", "eu", "us", "--check")), ended(0.2, changed=False)], False),
    "verified": ([started(run(2), "verify"), ended(0.2, changed=False)], False),
    "another pair": (switched(run(2))[1:], False),
}


@pytest.mark.parametrize("name", LATER_RUNS)
def test_a_later_run_on_the_pair_that_ended_well_settles_it(where: Path, name: str) -> None:
    happened, settled = LATER_RUNS[name]
    if name == "another pair":
        happened = [started(run(2), primary="p0", replica="r0"), *happened]
    write(where, run(1), [started(run(1)), SENT])
    write(where, run(2), happened)
    assert (found() == []) is settled


def test_of_many_runs_none_is_read_whole(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(where, run(1), switched(run(1)))
    verified = (where / f"{run(1)}.jsonl").read_text().replace('"switchover"', '"verify"')
    for number in range(200):
        (where / f"20260103T030405Z-{number:06}.jsonl").write_text(verified)
    monkeypatch.setattr(resume, "read", lambda _: pytest.fail("read whole"))
    raw, read = Path.read_bytes, list[Path]()

    def read_bytes(path: Path) -> bytes:
        read.append(path)
        return raw(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert found() == []
    assert [path.stem for path in read if path.parent == where] == [run(1)]


@pytest.mark.parametrize(("noted", "asked"), [(None, "p"), ("p", None), (None, None)])
def test_a_run_in_avns_default_project_is_one_in_that_project(
    noted: str | None, asked: str | None, where: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "aiven-client.json"
    config.write_text('{"default_project": "p"}')
    monkeypatch.setenv("AIVEN_CLIENT_CONFIG", str(config))
    write(where, run(1), [started(run(1), project=noted), SENT])
    assert [one.run for one in resume.unfinished(asked, LATER)] == [run(1)]
    assert resume.unfinished("q", LATER) == ()
