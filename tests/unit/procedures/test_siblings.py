"""Marks: when a replica is marked as being promoted, what they say, and when they are taken away."""

from dataclasses import replace
from typing import Any

import pytest

from ccr_avn import clock
from ccr_avn.aiven import lineage, models
from ccr_avn.aiven.avn import Project
from ccr_avn.plan.model import Call, Later, Step, go, stop
from ccr_avn.procedures import siblings
from ccr_avn.procedures.gates.pair_state import PairState
from ccr_avn.procedures.seen import Seen, Sides
from ccr_avn.procedures.setting import Setting
from tests.support.factories import fact, row, seen_of, side

AT = Setting(project=Project("p"), now=1790000000.0)
BORN = {"create_time": "2026-08-01T09:00:00Z"}
EU, US, AP = (
    fact("eu", row("eu", "us"), row("eu", "ap"), **BORN),
    *(fact(one, row("eu", one), **BORN) for one in ("us", "ap")),
)
OURS, THEIRS = "ccr_promoting=1-2-3-ours", "ccr_promoting=1-2-3-theirs"
TAGGED = (models.Tag(key=lineage.FROM, value="eu"),)
WHOLE: Step[Any] = replace(siblings.unmark(AT, "us"), slug="history", judge=lambda *_: go("it has the data"))
EMPTY: Step[Any] = replace(WHOLE, judge=lambda *_: stop("it lacks the data", hint="-"))


def tags(*words: str) -> tuple[models.Tag, ...]:
    return tuple(models.Tag(key=key, value=value) for key, _, value in (word.partition("=") for word in words))


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        ((EU, US, AP), ""),
        ((EU, US), ""),
        ((US,), ""),
        ((EU.model_copy(update={"integrations": US.integrations}), US), "there is no other replica"),
    ],
    ids=["listed", "its primary names them", "nothing is known of its primary", "one replica"],
)
def test_a_replica_is_marked_unless_it_is_known_to_be_the_only_one(
    listed: tuple[models.Service, ...], why: str
) -> None:
    """So also where the services can't be listed; a list with the replica alone is that of a primary that is gone."""
    alone = listed == (US,)
    seen = seen_of(*(() if alone else listed), replica=(US,))
    for step in (siblings.mark(AT, "us"), siblings.list_siblings(AT, "us", siblings.mark(AT, "us"), forced=True)):
        assert step.unneeded
        assert step.unneeded(seen) == why


def test_a_mark_has_the_time_at_which_it_is_set() -> None:
    """The question before it may have taken longer than a mark counts."""
    seen, step = seen_of(EU, US, AP), siblings.mark(AT, "us")
    assert isinstance(step.change, Call)
    [word] = [one for one in step.change.argv if isinstance(one, Later)]
    assert step.judge((US,), seen).verdict == "todo"
    key, _, value = word.fill(seen).partition("=")
    assert abs(int(value.split("-")[0]) - clock.now()) < 60
    assert step.judge((US.model_copy(update={"tags": {key: value}}),), seen).verdict == "go"
    assert step.judge((US.model_copy(update={"tags": {key: f"1{value}"}}),), seen).verdict == "todo", "another run's"


@pytest.mark.parametrize(
    ("known", "needed"),
    [
        ({}, True),
        ({"promote": "refused"}, True),
        ({"promote": "unanswered"}, False),
        ({"promote": "answered"}, False),
        ({"promote": "answered", "origin": ()}, False),
        ({"promote": "answered", "origin": TAGGED}, True),
        ({"promote": "answered", "carries": WHOLE}, False),
        ({"promote": "answered", "carries": EMPTY}, True),
        ({"doubt": True}, False),
        ({"doubt": True, "origin": TAGGED}, True),
        ({"mine": None}, False),
        ({"mine": None, "promote": "answered", "origin": TAGGED, "before": OURS}, True),
    ],
)
def test_a_mark_stays_until_the_promotion_that_was_sent_is_recorded(known: dict[str, Any], needed: bool) -> None:
    us = US.model_copy(update={"tags": dict([known["before"].split("=")])}) if "before" in known else US
    seen, carries = seen_of(EU, us, AP), known.get("carries")
    state = PairState(state="following", doubt=known.get("doubt", False))
    seen.remember("health", Sides(primary=side(), replica=side("slave"), state=state))
    for slug, result in (("promote", known.get("promote")), (siblings.WORD, known.get("mine", OURS))):
        if result is not None:
            seen.keep(slug, result)
    if "origin" in known:
        seen.remember("origin", known["origin"])
    if carries:
        seen.remember("history", side())
    unneeded = siblings.unmark(AT, "us", carries).unneeded
    assert unneeded
    assert (unneeded(seen) == "") == needed


def test_the_mark_of_another_run_is_left_until_the_promotion_is_recorded() -> None:
    judge, seen = siblings.unmark(AT, "us").judge, Seen()
    seen.keep(siblings.WORD, OURS)
    assert judge(tags(OURS), seen).verdict == "todo"
    assert judge(tags(THEIRS), seen).reason == "its mark is another run's"
    assert judge((), seen).reason == "its mark is gone"
    seen.remember("origin", TAGGED)
    assert judge(tags(THEIRS), seen).verdict == "todo"
