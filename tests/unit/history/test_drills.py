"""What journals tell of drills: the page of one, how one that died goes on, and when a primary was last drilled."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ccr_avn.aiven import models
from ccr_avn.history import journals, report, resume
from ccr_avn.history.records import read
from ccr_avn.plan.events import ChangeEnded, ChangeStarted, Event, RunEnded, RunStarted, StepDone
from ccr_avn.plan.model import Finding
from ccr_avn.procedures.drill import assumptions
from tests.support.factories import service
from tests.unit.history.journals import DELETE, RUN, done, ended, started, story_of, write

NAME = "eu-drill-abc123"
DAY = 86_400.0
SLUGS = ("primary", "temporary-replica", "promote", "filter-cuts", "terminate")
FACTS = {"temporary_replica": NAME, "replica_cloud": "aws-us-east-1", "replica_plan": "startup-4", "level": "values"}
TYPED = ("drill", "eu", "--replica-cloud", "aws-us-east-1")
CREATE = ChangeStarted(at=0.2, slug="temporary-replica", argv=("avn", "service", "create", NAME), final=False)
TRIED = {"assumption": "filter-cuts", "outcome": "does not hold", "saw": "a connection <b>stood</b> | still"}
REFUSED = ended(1.0, ok=False, changed=False, code=4)


def drill(run: str = RUN, **facts: Any) -> RunStarted:
    return started(run, "drill", SLUGS, TYPED, **{"replica": None, **FACTS, **facts})


def sent(run: str = RUN, **facts: Any) -> list[Event]:
    """A drill that has made its temporary replica."""
    return [
        drill(run, **facts),
        done("primary", 0.1),
        CREATE,
        ChangeEnded(at=0.4, slug="temporary-replica", seconds=0.2),
        done("temporary-replica", 0.5, "it is a read replica of eu", "changed", created=1),
    ]


def result(*tried: dict[str, Any], **more: Any) -> dict[str, Any]:
    cost = {"usd_an_hour": 0.1, "seconds": 600, "estimate_usd": 0.0167}
    rows = assumptions.table(tried)
    return {"rto_ms": 4100.0, "not_received_ms": 52.5, "assumptions": rows, "cost": cost, "terminated": True, **more}


def whole(run: str = RUN, *tried: dict[str, Any], **facts: Any) -> list[Event]:
    return [
        *sent(run, **facts),
        ChangeStarted(at=4.0, slug="promote", argv=DELETE, final=False),
        done("promote", 8.0, "its role is master", "changed", 4.0),
        done("terminate", 9.0, f"{NAME} is gone", "changed", gone=NAME),
        ended(9.0, **result(*(tried or (TRIED,)))),
    ]


def html(path: Path) -> str:
    return report.render(read(path), "html")


def test_its_report_shows_two_figures_every_assumption_the_cost_and_the_versions(tmp_path: Path) -> None:
    path = write(tmp_path, RUN, whole())
    figures = {one["label"]: one["value"] for one in report.headline(story_of(path))}
    assert figures == {"RTO": "4.1 s", "Not received": "≤ 52 ms", "Took": "9.0 s"}
    page = html(path)
    names = (one.name for one in assumptions.ASSUMPTIONS)
    for words in (*names, "startup-4 in aws-us-east-1", "avn 4.18.0", "0.02 USD", "switchover disconnects them itself"):
        assert words in page
    assert page.index("filter-cuts") < page.index("client-commands"), "what does not hold comes first"
    assert "<b>stood" not in page
    ticket = report.render(read(path), "md")
    row = next(line for line in ticket.splitlines() if line.startswith("| `filter-cuts`"))
    assert row.replace("\\|", "").count("|") == 5
    assert "1 does not hold, " in ticket


def test_without_a_price_the_page_says_so_and_estimates_nothing(tmp_path: Path) -> None:
    unpriced = {"usd_an_hour": None, "seconds": 600, "estimate_usd": None}
    page = html(write(tmp_path, RUN, [*whole()[:-1], ended(9.0, **{**result(TRIED), "cost": unpriced})]))
    assert "not reported by avn" in page
    assert "USD" not in page


def test_of_one_that_died_the_page_shows_how_far_it_came_and_what_finds_the_rest(tmp_path: Path) -> None:
    seen = Finding(verdict="go", reason="seen", facts=TRIED)
    tried = StepDone(at=5.0, slug="filter-cuts", finding=seen, seconds=0.1, outcome="proven")
    path = write(tmp_path, RUN, [*sent(), tried])
    story = story_of(path)
    page = report.drill_page(story)
    assert page is not None
    assert [one.name for one in page["rows"] if one.outcome == "does not hold"] == ["filter-cuts"]
    assert resume.temporary_replica(story) == "may be there"
    assert resume.next_command(story) == ("ccr-avn", "drill", "--clean", "--only", NAME, "--project", "p")
    assert any(f"{NAME} may exist, and is then billed" in line for line in resume.last_known(story))
    assert resume.standing(story) == {}, "no production pair was promoted"
    assert f"--clean --only {NAME}" in html(path)


def test_one_that_ended_and_left_nothing_has_nothing_to_resume(tmp_path: Path) -> None:
    failed = [*whole()[:-1], ended(9.0, ok=False, code=16, **result(TRIED))]
    story = story_of(write(tmp_path, RUN, failed))
    assert resume.next_command(story) == ()
    assert f"{NAME} was terminated and is gone; eu was not changed" in resume.last_known(story)


def at(day: int) -> str:
    return f"2026010{day}T030405Z-abc123"


def last(primary: str = "eu") -> journals.Drilled:
    found = journals.newest_drills("p").get(primary)
    assert found is not None
    return found


def test_the_last_drill_of_a_primary_is_the_newest_that_created_something_however_it_ended(where: Path) -> None:
    write(where, RUN, whole())
    write(where, at(4), [drill(at(4)), REFUSED])
    write(where, at(5), whole(at(5), primary="as", project="q"))
    found = last()
    assert (found.run, found.rto_ms, found.failed) == (RUN, 4100.0, ("filter-cuts",))
    assert ("as" in journals.newest_drills("p"), set(journals.newest_drills(None))) == (False, {"eu", "as"})
    old = replace(found, age=12 * DAY)
    assert old.describe().startswith(f"12 days ago ({RUN}, RTO 4.1 s, does not hold: filter-cuts, ")
    assert old.as_dict()["age_seconds"] == 12 * DAY


def test_what_the_newest_drill_did_not_test_is_said(where: Path) -> None:
    """After Ctrl-C, or where its service vanished half-way, an older one is no answer."""
    every = [{"assumption": one.name, "outcome": "holds", "saw": "x"} for one in assumptions.ASSUMPTIONS]
    write(where, RUN, whole(RUN, *every))
    assert (last().ok, last().untested) == (True, ())
    cut = ended(1.0, ok=False, code=140, error="interrupted by Ctrl-C", **result())
    write(where, at(4), [*sent(at(4)), cut])
    found = last()
    assert (found.run, found.ok) == (at(4), False)
    assert "filter-refuses" in found.untested
    assert "interrupted by Ctrl-C" in found.describe()
    assert "critical and not tested: " in found.describe()
    write(where, at(5), sent(at(5)))
    assert (last().ok, "it has not ended" in last().describe()) == (False, True)


def test_after_ninety_days_a_drill_is_due(where: Path) -> None:
    write(where, RUN, whole())
    found = {days: {"eu": replace(last(), age=days * DAY)} for days in (89, 91, -91)}
    assert journals.not_for_long(["eu", "as", "as"], found[89]) == ["as"]
    assert journals.not_for_long(["eu"], found[91]) == ["eu"]
    assert journals.not_for_long(["eu"], found[-91]) == ["eu"], "a drill from the future is none"
    like = models.service(json.dumps(service(NAME, cloud_name="c", plan="p")))
    here = journals.JournalsHere("p")
    assert here.last_drill("eu", like)[1] == f"last drill: {last().describe()}"
    _, line = here.last_drill("as", like)
    assert line == "last drill: none from this machine; ccr-avn drill as --replica-cloud c --replica-plan p"


def test_a_drill_is_found_behind_any_number_of_other_runs(where: Path) -> None:
    """Whoever verifies a pair every five minutes has two thousand in a week."""
    write(where, RUN, whole())
    text = write(where, at(3), [started(at(3), "verify")]).read_bytes()
    for number in range(300):
        (where / f"20260104T030405Z-{number:06}.jsonl").write_bytes(text)
    assert last().run == RUN
    assert [one.name for one in journals.JournalsHere("p").drills] == [NAME]


def test_only_a_creation_that_was_sent_and_not_refused_may_have_made_something(where: Path) -> None:
    """A name that was taken stays somebody else's: a check, and an answer of no, have created nothing."""
    write(where, RUN, [drill(temporary_replica="r1"), REFUSED])
    no = ChangeEnded(at=0.4, slug="temporary-replica", seconds=0.2, doubt="403", refused=True)
    write(where, at(3), [*sent(at(3), temporary_replica="r1")[:3], no])
    assert journals.JournalsHere("p").drills == ()


def test_a_later_run_that_is_no_drill_and_was_not_refused_takes_a_service_into_use(where: Path) -> None:
    def named(run: str, command: str, *words: str, end: RunEnded | None) -> None:
        begun = started(run, command, (), (command, *words), replica=NAME)
        write(where, run, [begun, *([end] if end else [])])

    def user(born: str) -> str:
        return journals.JournalsHere("p").user_of(models.service(json.dumps(service(NAME, create_time=born))))

    before, after = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
    write(where, RUN, whole())
    named(at(3), "enable", end=REFUSED)
    named(at(4), "switchover", "--check", end=ended(1.0, changed=False))
    named(at(5), "verify", end=ended(1.0, changed=False))
    assert user(before) == ""
    named(at(6), "enable", end=ended(1.0, changed=False))
    assert user(before) == f"run {at(6)} (enable) on this machine names it"
    assert user(after) == "", "a namesake then"
    named(at(7), "switchover", end=None)
    assert at(7) in user(before), "it was killed, or is running"
