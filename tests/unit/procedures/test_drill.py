"""What a drill may terminate, and what it tells: rules with plain values."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.aiven import lineage, models
from ccr_avn.aiven.avn import Project
from ccr_avn.errors import OutOfTime, Refused
from ccr_avn.plan.events import StepDone
from ccr_avn.plan.model import Plan, Step, go
from ccr_avn.procedures.drill import assumptions, ours
from ccr_avn.procedures.drill.clean import Clean, judged
from ccr_avn.procedures.drill.drill import Drill
from ccr_avn.procedures.drill.ours import Made
from ccr_avn.procedures.drill.result import proven_by
from ccr_avn.procedures.enable import Enable
from ccr_avn.procedures.gates.settings import NOBODY
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Journals
from ccr_avn.procedures.verb import Ended
from ccr_avn.valkey import drill_trials
from tests.support.factories import row, service
from tests.support.plans import SETTING

RUN = "20261125T120000Z-abc123"
NAME = "eu-drill-abc123"
AT = "2026-11-25T12:00:10Z"
EPOCH = 1795608010
MADE = Made(name=NAME, primary="eu", run=RUN, sent="answered", created=EPOCH, began=EPOCH - 5.0)
PROJECT = Project("p")
EU = models.service(json.dumps(service("eu", create_time="2026-01-01T00:00:00Z")))


def found(*rows: dict[str, Any], name: str = NAME, **more: Any) -> models.Service:
    told = service(name, *(rows or (row("eu", name),)), **{"create_time": AT, "tags": TAGS, **more})
    return models.service(json.dumps(told))


def plan_of(**more: Any) -> Plan:
    at = replace(SETTING, run=RUN)
    return Drill(primary="eu", replica_cloud="aws-us-east-1", at=at, **more).plan()


class Noted(Journals):
    @property
    def drills(self) -> tuple[Made, ...]:
        return (MADE,)


def test_a_primary_that_does_not_exist_is_not_to_be_created() -> None:
    plan = plan_of()
    [primary] = [one for one in plan.checks if one.slug == "primary"]
    finding = primary.gate.judge((), Seen())
    assert (finding.reason, finding.hint) == ("eu does not exist", "check its name and the project: avn service list")


def tags_of(run: str, made: models.Service, lasts: float = 3600.0) -> dict[str, str]:
    return dict(one.split("=", 1) for one in (f"{ours.TAG}={run}", ours.made_tag(run, made, EU, lasts)))


TAGS: dict[str, str] = {}
TAGS = tags_of(RUN, found())
LATER = "2026-11-25T13:00:10Z"
METRICS = {**row(NAME, "m3"), "integration_type": "metrics"}
UNSEEN = replace(MADE, sent="unanswered", created=None)
OF_ANOTHER_RUN = tags_of("20261125T120000Z-ffffff", found())
PRODUCTION = tags_of(RUN, found(name="orders", create_time="2026-01-01T00:00:00Z"))


@pytest.mark.parametrize(
    ("there", "made", "verdict"),
    [
        (found(), MADE, "go"),
        (found(), None, "go"),
        (found(tags={}), MADE, "go"),
        (found(tags={}), UNSEEN, "go"),
        (found(tags={}), replace(MADE, created=None), "go"),
        (found(tags={}), None, "stop"),
        (found(tags={}), replace(UNSEEN, sent="refused"), "stop"),
        (found(tags={}), replace(UNSEEN, sent=None), "stop"),
        (found(tags={}), replace(UNSEEN, run="20261125T120000Z-ffffff"), "stop"),
        (found(tags={}, create_time=LATER), MADE, "stop"),
        (found(tags={}, create_time=LATER), UNSEEN, "stop"),
        (found(row("other", NAME), tags={}), UNSEEN, "stop"),
        (found(create_time=None), MADE, "stop"),
        (found(tags={**TAGS, ours.MADE: "1"}), None, "stop"),
        (found(tags={**TAGS, ours.MADE: str(EPOCH)}), None, "stop"),
        (found(tags={ours.TAG: RUN}), None, "stop"),
        (found(tags={**TAGS, ours.TAG: "20261125T120000Z-ffffff"}), None, "stop"),
        (found(tags=OF_ANOTHER_RUN), MADE, "stop"),
        (found(tags={**TAGS, lineage.FROM: "eu", lineage.LINEAGE: f"1-2-{'a' * 40}"}), MADE, "stop"),
        (found(row("eu", NAME), row(NAME, "third")), MADE, "stop"),
        (found(row("eu", NAME), METRICS), MADE, "stop"),
        (found(termination_protection=True), MADE, "stop"),
    ],
)
def test_only_what_a_drill_provably_made_is_terminated(there: models.Service, made: Made | None, verdict: str) -> None:
    finding = ours.judge_ours(there, made, PROJECT)
    assert finding.verdict == verdict
    assert verdict == "go" or f"terminate {NAME}" in finding.hint


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param(found(name="orders"), id="its tags were copied to another service"),
        pytest.param(found(name="orders", tags={**TAGS, ours.MADE: PRODUCTION[ours.MADE]}), id="as old as it"),
        pytest.param(found(create_time=LATER), id="a fork, or a namesake"),
        pytest.param(found(name="renamed"), id="renamed"),
        pytest.param(found(tags={**TAGS, ours.MADE: f"{EPOCH}-1-0-{'0' * 24}"}), id="typed by hand"),
    ],
)
def test_tags_prove_only_the_service_that_they_were_set_on(copy: models.Service) -> None:
    assert ours.judge_ours(copy, None, PROJECT).verdict == "stop"


def test_of_production_it_is_said_that_no_drill_made_it_and_no_command_is_printed() -> None:
    finding = ours.judge_ours(found(name="cache-eu", tags={}), None, PROJECT)
    assert (finding.verdict, finding.reason, finding.hint) == ("stop", "cache-eu was not created by a drill", "")


def test_what_is_protected_is_unprotected_first() -> None:
    hint = ours.judge_ours(found(termination_protection=True), MADE, PROJECT).hint
    assert hint.index("--disable-termination-protection") < hint.index(f"terminate {NAME}")


@pytest.mark.parametrize(
    ("lasts", "made", "running"),
    [
        (3600.0, None, False),  # it was made long ago
        (10.0**9, None, True),
        (10.0**9, MADE, False),
        (3600.0, replace(MADE, running=True), True),
        (0.0, None, True),
        (0.0, MADE, True),
    ],
)
def test_one_that_may_be_running_or_was_to_be_kept_is_known(lasts: float, made: Made | None, running: bool) -> None:
    assert bool(ours.still_running(found(tags=tags_of(RUN, found(), lasts)), made)) is running


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param(found(name="r1"), id="copied"),
        pytest.param(found(create_time=LATER), id="a namesake"),
        pytest.param(found(tags={ours.TAG: RUN}), id="without the proof"),
    ],
)
def test_a_tag_that_does_not_prove_is_nobodys(copy: models.Service) -> None:
    """It is judged, moved and shown as what it is."""
    assert ours.run_of(found(), ()) == RUN
    assert ours.run_of(copy, ()) == ""
    assert ours.run_of(copy, (MADE,)) == (RUN if copy.tags == {ours.TAG: RUN} else ""), "by the journal it is"


def test_what_was_promoted_for_good_is_no_drills_service_any_more() -> None:
    alone: dict[str, Any] = {"service_integrations": []}
    tagged = dict(word.split("=") for word in lineage.tags(EU, found(), "a" * 40))
    origin = lineage.Origin(name="eu", old_created=lineage.created(EU), new_created=EPOCH)
    recorded = lineage.Recorded(new=NAME, origin=origin, proven=False)
    assert ours.run_of(found(tags={**TAGS, **tagged}, **alone), ()) == ""
    assert ours.run_of(found(**alone), (MADE,), (recorded,)) == ""
    assert ours.run_of(found(), (MADE,), (recorded,)) == RUN, "the deletion did not act"
    other = {**tagged, lineage.LINEAGE: f"1-2-{'a' * 40}"}
    assert ours.run_of(found(tags={**TAGS, **other}, **alone), ()) == RUN, "the tags of another"
    kept = ours.judge_ours(found(tags={**TAGS, **tagged}, **alone), MADE, PROJECT)
    assert (kept.verdict, kept.hint) == ("stop", ""), "it may be production: no command"


def test_enable_adopts_no_drills_service() -> None:
    """A cleaning would terminate the replica that was just proven."""
    shared = row("eu", NAME)
    both = (models.service(json.dumps(service("eu", shared))), found(shared))
    [check] = Enable(primary="eu", replica=NAME, at=replace(SETTING, journals=Noted())).plan().checks
    judge = check.gate.judge
    refused = judge(both, Seen())
    assert refused.verdict == "stop"
    for command in (f"ccr-avn drill --clean --only {NAME}", f"ccr-avn switchover eu {NAME} --drill-service {NAME}"):
        assert command in refused.hint
    assert judge((both[0], found(shared, tags={})), Seen()).verdict == "stop", "by the journal"
    assert judge((both[0], found(shared, create_time=LATER)), Seen()).verdict == "go", "a namesake"


def test_what_another_run_took_into_use_is_not_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as found, nor where that happened while the question was open."""
    for name, answer in (("endpoint", None), ("strangers", ("slave", []))):
        monkeypatch.setattr(f"ccr_avn.procedures.drill.temporary_replica.{name}", lambda *_, told=answer: told)
    left = judged(SETTING, found(), MADE, {}, named=False)
    assert left.sure
    [step], seen = Clean(at=SETTING, only=None, found=(left,)).plan().steps, Seen()
    seen.remember(step, (found(),))
    monkeypatch.setattr(Journals, "user_of", lambda *_: "run R (enable) on this machine names it")
    assert not judged(SETTING, found(), MADE, {}, named=False).sure
    assert step.guard
    with pytest.raises(Refused, match="is not touched"):
        step.guard(seen)


def test_a_namesake_is_no_temporary_replica() -> None:
    """Made by somebody else between our check and our creation, which was refused."""
    plan = plan_of()
    made = next(step for step in plan.steps if step.slug == "temporary-replica")
    seen = Seen()
    assert made.gate.judge((), seen).verdict == "todo"
    assert made.gate.judge((found(),), seen).verdict == "stop"
    for sent in ("refused", "unanswered"):
        seen.keep("temporary-replica", sent)
        assert made.gate.judge((found(),), seen).verdict == "stop"
    seen.keep("temporary-replica", "answered")
    assert made.gate.judge((found(),), seen).verdict == "go"


def test_the_name_tells_what_it_is_and_fits() -> None:
    assert ours.name_of("eu", RUN) == NAME
    longest = ours.name_of("p" * 64, RUN)
    assert len(longest) == 64
    assert ours.NAMED.fullmatch(longest)
    assert all(len(value) <= 64 for value in tags_of(RUN, found()).values())


def test_the_primary_is_named_by_no_change() -> None:
    plan = plan_of()
    changes = [step.change.argv for step in plan.steps if step.change and step.change.argv[0] == "avn"]
    assert len(changes) == 6
    assert all(argv[3] != "eu" for argv in changes)
    assert not any(step.final for step in plan.steps), "there is always a way back: it is terminated"
    assert plan.steps[-1].always


def test_the_table_of_promises_names_each_assumption_as_a_drill_prints_it() -> None:
    text = (Path(__file__).parents[3] / "docs" / "promises.md").read_text()
    section = text.partition("## Only the real service can tell")[2]
    named = re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)
    assert named == [one.name for one in assumptions.ASSUMPTIONS]


def test_the_page_about_drills_tells_how_each_is_tested_and_which_are_grave() -> None:
    text = (Path(__file__).parents[3] / "docs" / "drill.md").read_text()
    rows = re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+)( †)? \|", text.partition("## What is tested")[2], re.MULTILINE)
    told = {name: bool(critical) for names, critical in rows for name in re.findall(r"`([a-z-]+)`", names)}
    assert told == {one.name: one.critical for one in assumptions.ASSUMPTIONS if not one.untried}
    assert all(f"`{one.name}`" in text for one in assumptions.ASSUMPTIONS)


def test_every_assumption_is_in_the_result_once() -> None:
    facts = [{"assumption": "history-is-kept", "outcome": "holds", "saw": "x"}, {}, {"assumption": "none of ours"}]
    told = assumptions.table(facts)
    assert [one["name"] for one in told] == [one.name for one in assumptions.ASSUMPTIONS]
    assert [one["outcome"] for one in told].count("holds") == 1


@pytest.mark.parametrize("name", ["no-platform-clients", "client-list-is-whole"])
def test_what_a_filter_that_cuts_makes_harmless_is_not_grave(name: str) -> None:
    """The old primary counts as closed then, whoever was connected."""
    fails = {"assumption": name, "outcome": "does not hold", "saw": "x"}
    for outcome, critical in (("holds", False), ("does not hold", True), ("not tested", True)):
        rows = assumptions.table([fails, {"assumption": "filter-cuts", "outcome": outcome, "saw": "x"}])
        assert {one["name"]: one["critical"] for one in rows}[name] is critical


def test_each_that_a_drill_can_try_has_a_step() -> None:
    plan = plan_of()
    slugs = {step.slug for step in plan.steps}
    assert {one.name for one in assumptions.ASSUMPTIONS if not one.untried} <= slugs
    assert not {one.name for one in assumptions.ASSUMPTIONS if one.untried} & slugs


def test_its_epoch_is_that_of_its_creation() -> None:
    assert time.gmtime(EPOCH)[:6] == (2026, 11, 25, 12, 0, 10)


def step_of(plan: Plan, slug: str) -> Step[Any]:
    return next(step for step in plan.steps if step.slug == slug)


def begun(plan: Plan) -> Seen:
    """It has created its service, and seen that."""
    seen = Seen()
    seen.keep("temporary-replica", "answered")
    seen.remember(step_of(plan, "temporary-replica"), (EU, found(tags={})))
    seen.remember(plan.checks[0], (EU,))
    return seen


@pytest.mark.parametrize(
    "slug",
    ["tagged", "temporary-replica-running", "integration", "running", "filter-close", "filter-open", "terminate"],
)
def test_before_every_change_it_is_the_service_that_was_created(slug: str) -> None:
    plan = plan_of()
    seen, step = begun(plan), step_of(plan, slug)
    namesake = found(create_time=LATER, tags={})
    answer = (namesake,) if slug in ("tagged", "terminate") else namesake
    assert step.gate.judge(answer, seen).verdict == "stop"
    mine = found(tags={})
    assert step.gate.judge((mine,) if isinstance(answer, tuple) else mine, seen).verdict != "stop"


def test_what_is_deleted_is_named_by_the_same_answer_that_shows_when_it_was_created() -> None:
    plan = plan_of()
    changes = [step.slug for step in plan.steps if step.change]
    before = [step.slug for step in plan.steps][: [step.slug for step in plan.steps].index("promote")]
    assert before[-2:] == ["integration", "markers-begin"], "nothing is waited for in between"
    assert changes[:3] == ["temporary-replica", "tagged", "promote"]


@pytest.mark.parametrize(
    ("kept", "sent", "service", "outcome"),
    [
        (True, "answered", found(user_config={"ip_filter": [NOBODY]}), "holds"),
        (False, "answered", found(user_config={"ip_filter": [NOBODY]}), "not tested"),
        (True, "unanswered", found(user_config={"ip_filter": [NOBODY]}), "not tested"),
        (True, "refused", found(user_config={"ip_filter": [NOBODY]}), "not tested"),
        (True, None, found(user_config={"ip_filter": [NOBODY]}), "not tested"),
        (True, "answered", found(user_config={"ip_filter": [NOBODY]}, state="POWEROFF"), "not tested"),
        (True, "answered", found(user_config={"ip_filter": ["0.0.0.0/0"]}), "not tested"),
    ],
)
def test_a_refusal_is_the_filters_only_where_nothing_else_explains_it(
    kept: bool, sent: str | None, service: models.Service, outcome: str
) -> None:
    plan = plan_of()
    seen = begun(plan)
    if kept:
        seen.remember(step_of(plan, "connection-kept"), object())
    if sent:
        seen.keep("filter-close", sent)
    both = (drill_trials.holds("refused"), drill_trials.holds("cut")) if kept and sent == "answered" else None
    seen.remember(step_of(plan, "filter-effect"), both)
    for name in ("filter-refuses", "filter-cuts"):
        assert step_of(plan, name).gate.judge(service, seen).facts["outcome"] == outcome


def test_what_is_not_listed_right_after_its_creation_is_not_gone() -> None:
    plan = plan_of()
    judge = step_of(plan, "terminate").gate.judge
    assert judge((), begun(plan)).verdict == "wait"
    unsure = Seen()
    unsure.keep("temporary-replica", "unanswered")
    told = judge((), unsure)
    assert (told.verdict, "gone" in told.facts) == ("go", False)
    unsure.keep("terminate", "answered")
    assert judge((), unsure).facts["gone"] == NAME


def test_behind_a_creation_that_was_refused_there_is_nothing_to_terminate() -> None:
    step, seen = step_of(plan_of(), "terminate"), Seen()
    assert step.unneeded
    for sent, skipped in ((None, True), ("refused", True), ("unanswered", False), ("answered", False)):
        seen.keep("temporary-replica", sent)
        assert bool(step.unneeded(seen)) is skipped, sent


def test_a_drill_that_ended_early_is_proven_by_what_it_came_to() -> None:
    drill, seen = Drill(primary="eu", replica_cloud="aws-us-east-1"), Seen()
    seen.remember(step_of(drill.plan(), "compare"), None)  # asked, and not equal
    for done, level in (((), "nothing"), (("link",), "link"), (("link", "marker"), "marker")):
        steps = [StepDone(at=0, slug=slug, finding=go(""), seconds=0, outcome="proven") for slug in done]
        assert proven_by(drill, Ended(seen=seen, timeline=steps)) == level


def test_what_interrupts_a_trial_is_no_finding() -> None:
    def attempt() -> drill_trials.TrialResult:
        raise OutOfTime(14)

    with pytest.raises(OutOfTime):
        drill_trials.result_of(attempt)


def test_a_critical_assumption_is_none_where_another_makes_it_harmless() -> None:
    fails = {"assumption": "client-commands", "outcome": "does not hold", "saw": "x"}
    for facts, critical in (([], True), ([fails], False)):
        rows = {one["name"]: one["critical"] for one in assumptions.table(facts)}
        assert rows["pause-holds-writes"] is critical
