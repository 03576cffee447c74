"""What journals tell of drills: the page of one, how one that died goes on, and when a primary was last drilled."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.aiven import models
from ccr_avn.history import drill_page, drills, report, resume
from ccr_avn.history.records import read
from ccr_avn.plan import events
from ccr_avn.plan.events import ChangeEnded, ChangeStarted, RunEnded, RunStarted, StepDone
from ccr_avn.plan.model import go
from ccr_avn.procedures.gates import assumptions
from tests.support.factories import service
from tests.unit.history.journals import RUN, done, story_of, write

NAME = "eu-drill-abc123"
DAY = 86_400.0
SLUGS = ("primary", "temporary-replica", "promote", "filter-cuts", "terminate")
FACTS = {"temporary_replica": NAME, "replica_cloud": "aws-us-east-1", "replica_plan": "startup-4", "level": "values"}
TYPED = ("drill", "eu", "--replica-cloud", "aws-us-east-1")
CREATE = ("avn", "service", "create", NAME)
TRIED = {"assumption": "filter-cuts", "outcome": "does not hold", "saw": "a connection <b>stood</b> | still"}


def started(run: str = RUN, **facts: Any) -> RunStarted:
    known = {"primary": "eu", "project": "p", "avn": "4.18.0", **FACTS, **facts}
    return RunStarted(at=0.0, run=run, command="drill", title="drill eu", slugs=SLUGS, facts=known, argv=TYPED)


def sent(run: str = RUN, **facts: Any) -> list[events.Event]:
    """A drill that has made its temporary replica."""
    return [
        started(run, **facts),
        done("primary", 0.1),
        ChangeStarted(at=0.2, slug="temporary-replica", argv=CREATE, final=False),
        ChangeEnded(at=0.4, slug="temporary-replica", seconds=0.2),
        done("temporary-replica", 0.5, "it is a read replica of eu", "changed", created=1),
    ]


def result(*tried: dict[str, Any], **more: Any) -> dict[str, Any]:
    cost = {"usd_an_hour": 0.1, "seconds": 600, "estimate_usd": 0.0167}
    rows = assumptions.table(tried)
    return {"rto_ms": 4100.0, "not_received_ms": 52.5, "assumptions": rows, "cost": cost, "terminated": True, **more}


def whole(run: str = RUN, *tried: dict[str, Any], **facts: Any) -> list[events.Event]:
    return [
        *sent(run, **facts),
        ChangeStarted(at=4.0, slug="promote", argv=("avn", "service", "integration-delete", "0a"), final=False),
        done("promote", 8.0, "its role is master", "changed", 4.0),
        done("terminate", 9.0, f"{NAME} is gone", "changed", gone=NAME),
        RunEnded(at=9.0, ok=True, changed=True, code=0, result=result(*(tried or (TRIED,)))),
    ]


def html(path: Path) -> str:
    return report.render(read(path), "html")


def test_its_page_shows_two_figures_every_assumption_the_cost_and_the_versions(tmp_path: Path) -> None:
    path = write(tmp_path, RUN, whole())
    story = story_of(path)
    assert {one["label"]: one["value"] for one in report.headline(story)} == {
        "RTO": "4.1 s",
        "Not received": "≤ 52 ms",
        "Took": "9.0 s",
    }
    page = html(path)
    for told in (
        *(one.name for one in assumptions.ASSUMPTIONS),
        "startup-4 in aws-us-east-1",
        "avn 4.18.0",
        "0.02 USD",
    ):
        assert told in page
    assert page.index("filter-cuts") < page.index("client-commands"), "what does not hold comes first"
    assert ("<b>stood" in page, "switchover disconnects them itself" in page) == (False, True)


def test_without_a_price_the_page_says_so_and_estimates_nothing(tmp_path: Path) -> None:
    unpriced = {"usd_an_hour": None, "seconds": 600, "estimate_usd": None}
    ended = RunEnded(at=9.0, ok=True, changed=True, code=0, result={**result(TRIED), "cost": unpriced})
    page = html(write(tmp_path, RUN, [*whole()[:-1], ended]))
    assert "not reported by avn" in page
    assert "USD" not in page


def test_for_a_ticket_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, RUN, whole())
    ticket = report.render(read(path), "md")
    row = next(line for line in ticket.splitlines() if line.startswith("| `filter-cuts`"))
    assert row.replace("\\|", "").count("|") == 5
    assert "1 does not hold, " in ticket


def test_of_one_that_died_the_page_shows_how_far_it_came_and_what_finds_the_rest(tmp_path: Path) -> None:
    tried = StepDone(
        at=5.0, slug="filter-cuts", finding=replace(go("seen"), facts=TRIED), seconds=0.1, outcome="proven"
    )
    path = write(tmp_path, RUN, [*sent(), tried])
    story = story_of(path)
    page = drill_page.page(story)
    assert page is not None
    assert [one.name for one in page.rows if one.outcome == "does not hold"] == ["filter-cuts"]
    assert drill_page.fate(story) == "may be there"
    assert resume.next_command(story) == ("ccr-avn", "drill", "--clean", "--only", NAME, "--project", "p")
    assert any(f"{NAME} may exist, and is then billed" in line for line in resume.last_known(story))
    assert resume.standing(story) == {}, "no production pair was promoted"
    assert f"--clean --only {NAME}" in html(path)


def test_one_that_ended_and_left_nothing_has_nothing_to_go_on_with(tmp_path: Path) -> None:
    told = [*whole()[:-1], RunEnded(at=9.0, ok=False, changed=True, code=16, result=result(TRIED))]
    story = story_of(write(tmp_path, RUN, told))
    assert resume.next_command(story) == ()
    assert f"{NAME} was terminated and is gone; eu was not changed" in resume.last_known(story)


@pytest.mark.parametrize(
    ("refused", "changed", "fate"), [(False, "unknown", "may be there"), (True, False, "not made")]
)
def test_what_never_was_seen_was_not_terminated(tmp_path: Path, refused: bool, changed: Any, fate: str) -> None:
    failed = ChangeEnded(at=0.4, slug="temporary-replica", seconds=0.2, doubt="no", refused=refused)
    end = RunEnded(at=1.0, ok=False, changed=changed, code=13, result=result(terminated=False))
    path = write(tmp_path, RUN, [*sent()[:3], failed, done("terminate", 0.9, f"{NAME} is not there"), end])
    story = story_of(path)
    assert drill_page.fate(story) == fate
    assert not any("is gone" in line for line in resume.last_known(story))


def test_one_that_made_nothing_is_begun_again(tmp_path: Path) -> None:
    told = [started(), RunEnded(at=1.0, ok=False, changed=False, code=4, result={})]
    story = story_of(write(tmp_path, RUN, told))
    assert drill_page.page(story) is None
    assert resume.next_command(story) == ("ccr-avn", *TYPED, "--project", "p")


@pytest.mark.parametrize("damaged", ["yes", ["x", {"name": 3}], [{"outcome": "perhaps", "saw": None}], None])
def test_a_damaged_result_makes_a_page_all_the_same(tmp_path: Path, damaged: Any) -> None:
    odd = RunEnded(at=9.0, ok=True, changed=True, code=0, result={"assumptions": damaged, "cost": 3, "rto_ms": "x"})
    assert "not measured" in html(write(tmp_path, RUN, [*whole()[:-1], odd]))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("ccr_avn.history.runs.directory", lambda: tmp_path)
    return tmp_path


def test_the_last_drill_of_a_primary_is_the_newest_that_created_something_however_it_ended(state: Path) -> None:
    write(state, RUN, whole())
    made_nothing, other = "20260104T030405Z-abc123", "20260105T030405Z-abc123"
    write(state, made_nothing, [started(made_nothing), RunEnded(at=1.0, ok=False, changed=False, code=4, result={})])
    write(state, other, whole(other, primary="as", project="q"))
    found = drills.last("eu", "p")
    assert found is not None
    assert (found.run, found.rto_ms, found.failed) == (RUN, 4100.0, ("filter-cuts",))
    assert (drills.last("as", "p"), set(drills.newest(None))) == (None, {"eu", "as"})
    assert found.told(found.at + 12 * DAY).startswith(f"12 days ago ({RUN}, RTO 4.1 s, does not hold: filter-cuts, ")
    assert found.data(found.at + DAY)["age_seconds"] == DAY


def test_what_the_newest_drill_did_not_test_is_said(state: Path) -> None:
    """After Ctrl-C, or where its service vanished half-way, an older one is no answer."""
    every = [{"assumption": one.name, "outcome": "holds", "saw": "x"} for one in assumptions.ASSUMPTIONS]
    write(state, RUN, whole(RUN, *every))
    good = drills.last("eu", "p")
    assert good is not None
    assert (good.ok, good.untested) == (True, ())
    later = "20260104T030405Z-abc123"
    cut = RunEnded(at=1.0, ok=False, changed=True, code=140, result={"error": "interrupted by Ctrl-C", **result()})
    write(state, later, [*sent(later), cut])
    found = drills.last("eu", "p")
    assert found is not None
    assert (found.run, found.ok) == (later, False)
    assert "filter-refuses" in found.untested
    told = found.told(found.at)
    assert "interrupted by Ctrl-C" in told
    assert "critical and not tested: " in told
    died = "20260105T030405Z-abc123"
    write(state, died, sent(died))
    dead = drills.last("eu", "p")
    assert dead is not None
    assert (dead.ok, "it has not ended" in dead.told(0.0)) == (False, True)


def test_after_ninety_days_a_drill_is_due(state: Path) -> None:
    write(state, RUN, whole())
    found = drills.newest("p")
    at = found["eu"].at
    assert drills.not_for_long(["eu", "as", "as"], found, at + 89 * DAY) == ["as"]
    assert drills.not_for_long(["eu"], found, at + 91 * DAY) == ["eu"]
    assert drills.not_for_long(["eu"], found, at - 91 * DAY) == ["eu"], "a drill from the future is none"
    told = drills.told_of("as", None, at, "--replica-cloud c --replica-plan p")
    assert told == "last drill: none from this machine; ccr-avn drill as --replica-cloud c --replica-plan p"


def test_a_drill_is_found_behind_any_number_of_other_runs(state: Path) -> None:
    """Whoever verifies a pair every five minutes has two thousand in a week."""
    write(state, RUN, whole())
    other = "20260103T030405Z-abc123"
    verified = RunStarted(at=0.0, run=other, command="verify", title="v", slugs=(), facts={"primary": "eu"})
    text = write(state, other, [verified]).read_bytes()
    for number in range(2100):
        (state / f"20260104T030405Z-{number:06}.jsonl").write_bytes(text)
    assert drills.last("eu", "p") is not None
    assert [one.name for one in drills.creations("p")] == [NAME]


def test_only_a_creation_that_was_sent_and_not_refused_may_have_made_something(state: Path) -> None:
    """A name that was taken stays somebody else's: a check, and an answer of no, have created nothing."""
    write(state, RUN, [started(temporary_replica="r1"), RunEnded(at=1.0, ok=False, changed=False, code=4, result={})])
    refused = "20260103T030405Z-abc123"
    no = ChangeEnded(at=0.4, slug="temporary-replica", seconds=0.2, doubt="403", refused=True)
    write(state, refused, [*sent(refused, temporary_replica="r1")[:3], no])
    assert drills.creations("p") == ()


def named(state: Path, run: str, command: str, *words: str, ended: RunEnded | None = None) -> None:
    facts = {"primary": "eu", "replica": NAME, "project": "p"}
    begun = RunStarted(at=0.0, run=run, command=command, title="t", slugs=(), facts=facts, argv=(command, *words))
    write(state, run, [begun, *([ended] if ended else [])])


def test_a_later_run_that_is_no_drill_and_was_not_refused_takes_a_service_into_use(state: Path) -> None:
    before, after = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
    mine = models.service(json.dumps(service(NAME, create_time=before)))
    no, yes = (RunEnded(at=1.0, ok=ok, changed=False, code=0 if ok else 4, result={}) for ok in (False, True))
    write(state, RUN, whole())
    named(state, "20260103T030405Z-abc123", "enable", ended=no)
    named(state, "20260104T030405Z-abc123", "switchover", "--check", ended=yes)
    named(state, "20260105T030405Z-abc123", "verify", ended=yes)
    assert drills.user_of(mine, "p") == ""
    named(state, "20260106T030405Z-abc123", "enable", ended=yes)
    assert drills.user_of(mine, "p") == "run 20260106T030405Z-abc123 (enable) on this machine names it"
    assert drills.user_of(models.service(json.dumps(service(NAME, create_time=after))), "p") == "", "a namesake then"
    named(state, "20260107T030405Z-abc123", "switchover")
    assert "20260107T030405Z" in drills.user_of(mine, "p"), "it was killed, or is running"
