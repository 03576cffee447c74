"""What a drill may terminate, promote and conclude: rules with plain values."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.aiven import lineage, models
from ccr_avn.aiven.avn import Project
from ccr_avn.errors import Refused
from ccr_avn.plan.events import StepDone
from ccr_avn.plan.model import Plan, Step, go
from ccr_avn.procedures.drill import assumptions, ours
from ccr_avn.procedures.drill.clean import Clean, judged
from ccr_avn.procedures.drill.drill import Drill, left, proven_by
from ccr_avn.procedures.drill.ours import CREATE, TERMINATE, Made
from ccr_avn.procedures.enable import Enable
from ccr_avn.procedures.failover import Failover
from ccr_avn.procedures.gates.settings import NOBODY
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Journals
from ccr_avn.procedures.switchover import Switchover
from ccr_avn.procedures.verb import Ended
from ccr_avn.valkey import drill_trials
from tests.support.factories import fact, row
from tests.support.plans import SETTING

RUN, OTHER = "20261125T120000Z-abc123", "20261125T120000Z-ffffff"
NAME = "eu-drill-abc123"
AT, EPOCH = "2026-11-25T12:00:10Z", 1795608010
LONG_AGO, LATER = "2026-01-01T00:00:00Z", "2026-11-25T13:00:10Z"
MADE = Made(name=NAME, primary="eu", run=RUN, sent="answered", created=EPOCH, began=EPOCH - 5.0)
UNSEEN = replace(MADE, sent="unanswered", created=None)
PROJECT = Project("p")
EU = fact("eu", create_time=LONG_AGO)
TAGS: dict[str, str] = {}


def found(*rows: dict[str, Any], name: str = NAME, **more: Any) -> models.Service:
    return fact(name, *(rows or (row("eu", name),)), **{"create_time": AT, "tags": TAGS, **more})


def tags_of(run: str, made: models.Service, lasts: float = 3600.0) -> dict[str, str]:
    return dict(one.split("=", 1) for one in (f"{ours.TAG}={run}", ours.made_tag(run, made, EU, lasts)))


TAGS = tags_of(RUN, found())
METRICS = {**row(NAME, "m3"), "integration_type": "metrics"}
PRODUCTION = tags_of(RUN, found(name="orders", create_time=LONG_AGO))


def plan_of(**more: Any) -> Plan:
    return Drill(primary="eu", replica_cloud="aws-us-east-1", at=replace(SETTING, run=RUN), **more).plan()


def step_of(plan: Plan, slug: str) -> Step[Any]:
    return next(step for step in plan.all_steps if step.slug == slug)


def begun(plan: Plan, sent: str = "answered") -> Seen:
    """It has sent its creation, and seen the service."""
    seen = Seen()
    seen.keep(CREATE, sent)
    seen.remember(CREATE, (EU, found(tags={})))
    seen.remember(plan.checks[0].slug, (EU,))
    return seen


class Noted(Journals):
    @property
    def drills(self) -> tuple[Made, ...]:
        return (MADE,)


# -- which services are a drill's


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
        (found(tags={}), replace(UNSEEN, run=OTHER), "stop"),
        (found(tags={}, create_time=LATER), MADE, "stop"),
        (found(tags={}, create_time=LATER), UNSEEN, "stop"),
        (found(row("other", NAME), tags={}), UNSEEN, "stop"),
        (found(create_time=None), MADE, "stop"),
        (found(tags={**TAGS, ours.MADE: "1"}), None, "stop"),
        (found(tags={**TAGS, ours.MADE: str(EPOCH)}), None, "stop"),
        (found(tags={ours.TAG: RUN}), None, "stop"),
        (found(tags={**TAGS, ours.TAG: OTHER}), None, "stop"),
        (found(tags=tags_of(OTHER, found())), MADE, "stop"),
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
    assert there.protected == ("--disable-termination-protection" in finding.hint.partition(f"terminate {NAME}")[0])


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
    ("copy", "by_the_journal"),
    [
        pytest.param(found(name="orders"), "", id="its tags were copied to another service"),
        pytest.param(found(name="orders", tags={**TAGS, ours.MADE: PRODUCTION[ours.MADE]}), "", id="as old as it"),
        pytest.param(found(create_time=LATER), "", id="a fork, or a namesake"),
        pytest.param(found(name="renamed"), "", id="renamed"),
        pytest.param(found(tags={**TAGS, ours.MADE: f"{EPOCH}-1-0-{'0' * 24}"}), RUN, id="typed by hand"),
        pytest.param(found(tags={ours.TAG: RUN}), RUN, id="without the proof"),
    ],
)
def test_tags_prove_only_the_service_that_they_were_set_on(copy: models.Service, by_the_journal: str) -> None:
    """Any other is judged, moved and shown as what it is."""
    assert ours.judge_ours(copy, None, PROJECT).verdict == "stop"
    assert (ours.run_of(found(), ()), ours.run_of(copy, ())) == (RUN, "")
    assert ours.run_of(copy, (MADE,)) == by_the_journal


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
    marked = found(tags={**TAGS, lineage.PROMOTING: "1-2-3"})
    assert "it is marked as being promoted" in ours.judge_ours(marked, MADE, PROJECT).detail


@pytest.mark.parametrize("verb", [Switchover(primary="eu", replica=NAME), Failover(replica=NAME)])
def test_a_drills_service_is_promoted_only_where_its_name_is_repeated(verb: Switchover | Failover) -> None:
    def reasons(there: models.Service, named: str | None, journals: Journals | None = None) -> str:
        at = replace(SETTING, journals=journals or Journals())
        judge = replace(verb, at=at, drill_service=named).plan().checks[0].judge
        finding = judge((EU, there), Seen())
        return f"{finding.reason}; {finding.hint}"

    temporary = f"{NAME} is the temporary replica of a drill"
    assert temporary in reasons(found(), None)
    assert f"--drill-service {NAME}" in reasons(found(), None)
    assert temporary not in reasons(found(), NAME)
    assert temporary not in reasons(found(tags={}), None)
    assert temporary in reasons(found(tags={}), None, Noted())
    assert temporary not in reasons(found(tags={}, create_time=LATER), None, Noted())


def test_enable_adopts_no_drills_service() -> None:
    """A cleaning would terminate the replica that was just proven."""
    shared = row("eu", NAME)
    eu = fact("eu", shared)
    [check] = Enable(primary="eu", replica=NAME, at=replace(SETTING, journals=Noted())).plan().checks
    refused = check.judge((eu, found(shared)), Seen())
    assert refused.verdict == "stop"
    for command in (f"ccr-avn drill --clean --only {NAME}", f"ccr-avn switchover eu {NAME} --drill-service {NAME}"):
        assert command in refused.hint
    assert check.judge((eu, found(shared, tags={})), Seen()).verdict == "stop", "by the journal"
    assert check.judge((eu, found(shared, create_time=LATER)), Seen()).verdict == "go", "a namesake"


def test_what_another_run_took_into_use_is_not_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as found, nor where that happened while the question was open."""
    for name, answer in (("endpoint", None), ("strangers", ("slave", []))):
        monkeypatch.setattr(f"ccr_avn.procedures.drill.temporary_replica.{name}", lambda *_, told=answer: told)
    left = judged(SETTING, found(), MADE, {}, named=False)
    assert left.sure
    [step], seen = Clean(at=SETTING, only=None, found=(left,)).plan().steps, Seen()
    seen.remember(step.slug, (found(),))
    monkeypatch.setattr(Journals, "user_of", lambda *_: "run R (enable) on this machine names it")
    assert not judged(SETTING, found(), MADE, {}, named=False).sure
    assert step.guard
    with pytest.raises(Refused, match="is not touched"):
        step.guard(seen)


@pytest.mark.parametrize(
    ("role", "follows", "ours", "sure"),
    [
        ("slave", True, False, True),
        ("slave", False, False, False),
        ("master", False, False, False),
        ("master", False, True, True),
        ("slave", False, True, True),
    ],
)
def test_what_somebody_else_promotes_is_not_terminated(
    role: str, follows: bool, ours: bool, sure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, answer in (("endpoint", None), ("strangers", (role, []))):
        monkeypatch.setattr(f"ccr_avn.procedures.drill.temporary_replica.{name}", lambda *_, told=answer: told)
    shown = found() if follows else found().model_copy(update={"integrations": ()})
    assert judged(SETTING, shown, replace(MADE, promoted=ours), {}, named=False).sure is sure


# -- its steps


def test_a_primary_that_does_not_exist_is_not_to_be_created() -> None:
    finding = step_of(plan_of(), "primary").judge((), Seen())
    assert (finding.reason, finding.hint) == ("eu does not exist", "check its name and the project: avn service list")
    unsaved = step_of(plan_of(), "primary-backup").judge((), Seen())
    assert (unsaved.verdict, "gate backup eu" in unsaved.hint) == ("stop", True)


def test_the_name_tells_what_it_is_and_fits() -> None:
    assert ours.name_of("eu", RUN) == NAME
    longest = ours.name_of("p" * 64, RUN)
    assert len(longest) == 64
    assert ours.NAMED.fullmatch(longest)
    assert all(len(value) <= 64 for value in TAGS.values())


def test_the_primary_is_named_by_no_change() -> None:
    plan = plan_of()
    changes = [step.change.argv for step in plan.steps if step.change]
    assert len(changes) == 6
    assert all(argv[0] == "avn" and argv[3] != "eu" for argv in changes)
    assert not any(step.final for step in plan.steps), "there is always a way back: it is terminated"
    assert plan.steps[-1].always


def test_what_is_deleted_is_named_by_the_same_answer_that_shows_when_it_was_created() -> None:
    slugs = [step.slug for step in plan_of().steps]
    before = slugs[: slugs.index("promote")]
    assert before[-2:] == ["integration", "markers-begin"], "nothing is waited for in between"
    assert [step.slug for step in plan_of().steps if step.change][:3] == [CREATE, "tagged", "promote"]


@pytest.mark.parametrize(
    ("sent", "verdict"), [(None, "stop"), ("refused", "stop"), ("unanswered", "stop"), ("answered", "go")]
)
def test_a_namesake_is_no_temporary_replica(sent: str | None, verdict: str) -> None:
    """Made by somebody else between our check and our creation, which was refused."""
    judge, seen = step_of(plan_of(), CREATE).judge, Seen()
    assert judge((), seen).verdict == "todo"
    if sent:
        seen.keep(CREATE, sent)
    assert judge((found(),), seen).verdict == verdict


@pytest.mark.parametrize(
    "slug", ["tagged", "temporary-replica-running", "integration", "running", "filter-close", "filter-open", TERMINATE]
)
def test_before_every_change_it_is_the_service_that_was_created(slug: str) -> None:
    plan = plan_of()
    seen, step = begun(plan), step_of(plan, slug)
    for there, stops in ((found(create_time=LATER, tags={}), True), (found(tags={}), False)):
        answer = (there,) if slug in ("tagged", TERMINATE) else there
        assert (step.judge(answer, seen).verdict == "stop") is stops


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
    monkeypatch: pytest.MonkeyPatch, kept: bool, sent: str | None, service: models.Service, outcome: str
) -> None:
    plan = plan_of()
    seen = begun(plan)
    if kept:
        seen.remember("connection-kept", object())
    if sent:
        seen.keep("filter-close", sent)
    for name in ("filter_refuses", "filter_cuts"):
        monkeypatch.setattr(drill_trials, name, lambda *_: drill_trials.holds("seen"))
    monkeypatch.setattr("ccr_avn.procedures.drill.trials.server", lambda *_: None)
    measured = step_of(plan, "filter-effect")
    seen.remember(measured.slug, measured.read.read(seen))  # type: ignore[union-attr]
    for name in ("filter-refuses", "filter-cuts"):
        assert step_of(plan, name).judge(service, seen).facts["outcome"] == outcome


def test_what_is_not_listed_right_after_its_creation_is_not_gone() -> None:
    plan = plan_of()
    judge = step_of(plan, TERMINATE).judge
    assert judge((), begun(plan)).verdict == "wait"
    unsure = begun(plan, "unanswered")
    finding = judge((), unsure)
    assert (finding.verdict, "gone" in finding.facts) == ("go", False)
    unsure.keep(TERMINATE, "answered")
    assert judge((), unsure).facts["gone"] == NAME


def test_behind_a_creation_that_was_refused_there_is_nothing_to_terminate() -> None:
    step, seen = step_of(plan_of(), TERMINATE), Seen()
    assert step.unneeded
    for sent, skipped in ((None, True), ("refused", True), ("unanswered", False), ("answered", False)):
        seen.keep(CREATE, sent)
        assert bool(step.unneeded(seen)) is skipped, sent


@pytest.mark.parametrize("keep", [True, False])
def test_what_may_be_left_is_named_with_what_ends_it(keep: bool) -> None:
    drill = Drill(primary="eu", replica_cloud="aws-us-east-1", at=replace(SETTING, run=RUN), keep=keep)
    ends = f"avn service terminate {NAME}" if keep else f"ccr-avn drill --clean --only {NAME}"
    assert ends in left(drill)


# -- what it concludes


def test_a_drill_that_ended_early_is_proven_by_what_it_came_to() -> None:
    drill, seen = Drill(primary="eu", replica_cloud="aws-us-east-1"), Seen()
    seen.remember("compare", None)  # asked, and not equal
    for done, level in (((), "nothing"), (("link",), "link"), (("link", "marker"), "marker")):
        steps = [StepDone(at=0, slug=slug, finding=go(""), seconds=0, outcome="proven") for slug in done]
        assert proven_by(drill, Ended(seen=seen, timeline=steps)) == level


def test_every_assumption_is_in_the_result_once_and_each_that_can_be_tried_has_a_step() -> None:
    facts = [{"assumption": "history-is-kept", "outcome": "holds", "saw": "x"}, {}, {"assumption": "none of ours"}]
    rows = assumptions.table(facts)
    assert [one["name"] for one in rows] == [one.name for one in assumptions.ASSUMPTIONS]
    assert [one["outcome"] for one in rows].count("holds") == 1
    slugs = {step.slug for step in plan_of().steps}
    assert all((one.name in slugs) is not bool(one.untried) for one in assumptions.ASSUMPTIONS)


@pytest.mark.parametrize(
    ("name", "other", "harmless"),
    [
        ("no-platform-clients", "filter-cuts", "holds"),
        ("client-list-is-whole", "filter-cuts", "holds"),
        ("pause-holds-writes", "client-commands", "does not hold"),
    ],
)
def test_a_critical_assumption_is_none_where_another_makes_it_harmless(name: str, other: str, harmless: str) -> None:
    """As the old primary counts as closed where a filter cuts, whoever was connected."""
    for outcome in ("holds", "does not hold", "not tested"):
        rows = assumptions.table([{"assumption": other, "outcome": outcome, "saw": "x"}])
        assert {one["name"]: one["critical"] for one in rows}[name] is (outcome != harmless)
    assert {one["name"]: one["critical"] for one in assumptions.table([])}[name]


def test_the_documents_name_each_assumption_as_a_drill_prints_it() -> None:
    docs = Path(__file__).parents[3] / "docs"
    section = (docs / "promises.md").read_text().partition("## Only the real service can tell")[2]
    named = re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)
    assert named == [one.name for one in assumptions.ASSUMPTIONS]
    text = (docs / "drill.md").read_text()
    rows = re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+)( †)? \|", text.partition("## What is tested")[2], re.MULTILINE)
    critical = {name: bool(mark) for names, mark in rows for name in re.findall(r"`([a-z-]+)`", names)}
    assert critical == {one.name: one.critical for one in assumptions.ASSUMPTIONS if not one.untried}
    assert all(f"`{one.name}`" in text for one in assumptions.ASSUMPTIONS)
