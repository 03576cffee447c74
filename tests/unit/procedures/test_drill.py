"""What a drill may terminate, and what it tells: rules with plain values."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.aiven import models
from ccr_avn.aiven.avn import Project
from ccr_avn.plan.model import Results
from ccr_avn.procedures.drill import plan_drill
from ccr_avn.procedures.gates import assumptions, drill
from ccr_avn.procedures.gates.drill import Made
from ccr_avn.procedures.throw_away import DrillRequest
from tests.support.factories import row, service
from tests.support.plans import SETTING

RUN = "20261125T120000Z-abc123"
NAME = "eu-drill-abc123"
AT = "2026-11-25T12:00:10Z"
EPOCH = 1795608010
MADE = Made(name=NAME, primary="eu", run=RUN, sent="answered", created=EPOCH, tagged=True, began=EPOCH - 5.0)
TAGS = {drill.TAG: RUN, drill.MADE: str(EPOCH)}
PROJECT = Project("p")


def found(*rows: dict[str, Any], **more: Any) -> models.Service:
    told = service(NAME, *(rows or (row("eu", NAME),)), **{"create_time": AT, "tags": TAGS, **more})
    return models.service(json.dumps(told))


LATER = "2026-11-25T13:00:10Z"
METRICS = {**row(NAME, "m3"), "integration_type": "metrics"}


@pytest.mark.parametrize(
    ("there", "made", "verdict"),
    [
        (found(), MADE, "go"),
        (found(tags={}), replace(MADE, tagged=False), "go"),
        (found(), replace(MADE, created=None), "go"),
        (found(), replace(MADE, sent="unanswered"), "stop"),
        (found(), replace(MADE, sent="refused"), "stop"),
        (found(), replace(MADE, sent=None), "stop"),
        (found(create_time=LATER), MADE, "stop"),
        (found(create_time=None), MADE, "stop"),
        (found(tags={}), MADE, "stop"),
        (found(tags={drill.TAG: "20261125T120000Z-ffffff"}), MADE, "stop"),
        (found(row("eu", NAME), row(NAME, "third")), MADE, "stop"),
        (found(row("eu", NAME), METRICS), MADE, "stop"),
        (found(termination_protection=True), MADE, "stop"),
    ],
)
def test_only_what_this_run_made_is_terminated(there: models.Service, made: Made, verdict: str) -> None:
    finding = drill.judge_ours(there, made, PROJECT)
    assert finding.verdict == verdict
    assert verdict == "go" or f"terminate {NAME}" in finding.hint


UNSEEN = replace(MADE, sent="unanswered", created=None, tagged=False)


@pytest.mark.parametrize(
    ("there", "made", "verdict"),
    [
        (found(), None, "go"),
        (found(), MADE, "go"),
        (found(tags={}), MADE, "go"),
        (found(tags={}), UNSEEN, "go"),
        (found(tags={}), None, "stop"),
        (found(tags={**TAGS, drill.MADE: "1"}), None, "stop"),
        (found(tags={drill.TAG: RUN}), None, "stop"),
        (found(tags={**TAGS, drill.TAG: "yes"}), None, "stop"),
        (found(), replace(MADE, run="20261125T120000Z-ffffff"), "stop"),
        (found(create_time=LATER), None, "stop"),
        (found(tags={}, create_time=LATER), MADE, "stop"),
        (found(tags={}, create_time=LATER), UNSEEN, "stop"),
        (found(tags={}), replace(UNSEEN, run="20261125T120000Z-ffffff"), "stop"),
        (found(tags={}), replace(UNSEEN, sent=None, began=None), "stop"),
        (found(row("other", NAME), tags={}), UNSEEN, "stop"),
        (found(row("eu", NAME), METRICS), MADE, "stop"),
    ],
)
def test_what_a_dead_drill_left_is_terminated_by_the_same_rule(
    there: models.Service, made: Made | None, verdict: str
) -> None:
    assert drill.judge_left_over(there, made, PROJECT).verdict == verdict


def test_a_namesake_is_no_throw_away() -> None:
    """Made by somebody else between our check and our creation, which was refused."""
    plan = plan_drill(DrillRequest(primary="eu", run=RUN, cloud="aws-us-east-1", setting=SETTING)).plan
    made = next(step for step in plan.steps if step.slug == "throw-away")
    seen = Results()
    assert made.gate.judge((), seen).verdict == "todo"
    assert made.gate.judge((found(),), seen).verdict == "stop"
    for sent in ("refused", "unanswered"):
        seen.keep("throw-away", sent)
        assert made.gate.judge((found(),), seen).verdict == "stop"
    seen.keep("throw-away", "answered")
    assert made.gate.judge((found(),), seen).verdict == "go"


def test_the_name_tells_what_it_is_and_fits() -> None:
    assert drill.name_of("eu", RUN) == NAME
    longest = drill.name_of("p" * 64, RUN)
    assert len(longest) == 64
    assert drill.NAMED.fullmatch(longest)
    assert all(len(tag.partition("=")[2]) <= 64 for tag in drill.tags(RUN, found()))


def test_the_primary_is_named_by_no_change() -> None:
    plan = plan_drill(DrillRequest(primary="eu", run=RUN, cloud="aws-us-east-1", setting=SETTING)).plan
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
    told = {name: bool(grave) for names, grave in rows for name in re.findall(r"`([a-z-]+)`", names)}
    assert told == {one.name: one.grave for one in assumptions.ASSUMPTIONS if not one.untried}
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
    for outcome, grave in (("holds", False), ("does not hold", True), ("could not be tried", True)):
        rows = assumptions.table([fails, {"assumption": "filter-cuts", "outcome": outcome, "saw": "x"}])
        assert {one["name"]: one["grave"] for one in rows}[name] is grave


def test_each_that_a_drill_can_try_has_a_step() -> None:
    plan = plan_drill(DrillRequest(primary="eu", run=RUN, cloud="aws-us-east-1", setting=SETTING)).plan
    slugs = {step.slug for step in plan.steps}
    assert {one.name for one in assumptions.ASSUMPTIONS if not one.untried} <= slugs
    assert not {one.name for one in assumptions.ASSUMPTIONS if one.untried} & slugs


def test_its_epoch_is_that_of_its_creation() -> None:
    assert time.gmtime(EPOCH)[:6] == (2026, 11, 25, 12, 0, 10)
