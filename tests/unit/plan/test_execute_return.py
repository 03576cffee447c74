"""The point of no return: what is undone before it, what is not behind it, and how doubt about it is settled."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from ccr_avn.errors import AvnError, Locked, Refused, TimedOut, Unreachable
from ccr_avn.plan.model import Act, Answers, Finding, Poll, Probe, Step, go, todo
from tests.support.executed import Fake, answer, made, plan, probe, refused, says, step


def final(**more: Any) -> Step[Any]:
    return made("promote", final=True, **more)


def read(slug: str, *verdicts: Any) -> Step[Any]:
    """A look of its own answers; the last one stays."""
    left = list(verdicts)

    def read(_: Answers) -> Any:
        said = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(said, Exception):
            raise said
        return said

    return Step(slug=slug, purpose=slug, read=Probe(read), rule="r", judge=says)


def test_what_does_not_become_ready_is_never_changed() -> None:
    fake = Fake(**{"a": ["later"], "make-a": [None]})
    fake.fails(plan(made("a")), TimedOut)
    assert "make-a" not in fake.calls


@pytest.mark.parametrize(
    ("looks", "code", "acted"),
    [
        ((read("role", "go"), read("row", "wait")), 500, True),
        ((read("role", "wait"), read("row", "wait", "wait", "go")), 500, True),
        ((read("role", Unreachable("down")), read("row", "go")), 500, True),
        ((read("role", "wait"), read("row", "wait")), 500, False),
        ((read("role", "wait"), read("row", "wait")), 403, False),
    ],
)
def test_doubt_is_settled_by_any_look_that_shows_the_effect(
    looks: tuple[Step[Any], ...], code: int, acted: bool
) -> None:
    log: list[str] = []
    script = ["wait", "go"] if acted else ["wait"]
    fake = Fake(**{"promote": script, "make-promote": [refused(code)]})
    steps = plan(probe("fence", log), final(doubts=looks, doubt_limit=60.0))
    if acted:
        assert fake.perform(steps).changed is True
        assert "un-fence" not in log
        return
    fake.fails(steps, AvnError)
    assert fake.last.changed == ("unknown" if code == 500 else False)
    assert log[-1] == "un-fence"
    waited = fake.now
    assert waited > 60 if code == 500 else waited < 10, "only a refusal is believed at once"


def test_what_could_not_be_started_was_not_sent_whatever_the_looks_say() -> None:
    """The same avn can't be started for them either."""
    log: list[str] = []
    fake = Fake(**{"promote": ["wait"], "make-promote": [answer(code=126, stderr="Exec format error", started=False)]})
    looks = (read("role", Unreachable("down", passing=False)),)
    error = fake.fails(plan(probe("fence", log), final(doubts=looks, doubt_limit=60.0)), AvnError)
    assert error.detail == "avn can't be run: Exec format error"
    assert "avn --version" in error.hint
    assert fake.last.changed is False
    assert log[-1] == "un-fence"
    assert fake.calls == ["promote", "make-promote"], "nothing is looked for"


def test_not_found_is_no_refusal_of_a_deletion() -> None:
    """Somebody else may have deleted it."""
    fake = Fake(**{"promote": ["wait", "go"], "make-promote": [refused(404)]})
    looks = (read("role", *["wait"] * 20, "go"),)
    assert fake.perform(plan(final(doubts=looks, doubt_limit=60.0))).changed is True


def test_doubt_that_one_silent_look_leaves_keeps_the_fence() -> None:
    log: list[str] = []
    fake = Fake(**{"promote": ["wait"], "make-promote": [refused(500)]})
    looks = (read("role", Unreachable("down", passing=False)), read("row", "wait"))
    error = fake.fails(plan(probe("fence", log), final(doubts=looks, doubt_limit=5.0)), AvnError)
    assert "then the check for its effect failed" in error.detail
    assert fake.last.changed == "unknown"
    assert "un-fence" not in log
    assert fake.last.past_return


@pytest.mark.parametrize("code", [400, 401, 403, 409])
@pytest.mark.parametrize("trouble", [AvnError("revoked"), Unreachable("down", passing=False)])
def test_a_refusal_is_no_doubt_although_nothing_more_can_be_asked(code: int, trouble: Exception) -> None:
    """A token that is revoked meanwhile: the deletion is refused, and so is the look at the row."""
    log: list[str] = []
    fake = Fake(**{"promote": ["wait"], "make-promote": [refused(code)]})
    looks = (read("role", "wait"), read("row", trouble))
    fake.fails(plan(probe("fence", log), final(doubts=looks, doubt_limit=60.0)), AvnError)
    assert log[-1] == "un-fence"
    assert fake.last.changed is False
    assert not fake.last.past_return


def test_a_limit_of_doubt_of_zero_is_one() -> None:
    fake = Fake(**{"promote": ["wait"], "make-promote": [answer(code=-9, expired=True)]})
    fake.fails(plan(final(doubts=(read("role", "wait"),), doubt_limit=0.0)), AvnError)
    assert fake.now < 2


@pytest.mark.parametrize("passing", [True, False])
def test_behind_the_promotion_who_can_not_be_asked_is_asked_until_the_limit(passing: bool) -> None:
    """A bad certificate right after a failover within the platform: it is another one soon, or the limit ends it."""
    bad = Unreachable("us: its certificate is for another name", passing=passing)
    fake = Fake(**{"promote": ["wait", "go"], "make-promote": [None]})
    waited = replace(read("history", *[bad] * 20, "go"), poll=Poll(limit=600, interval=5))
    assert fake.perform(plan(final(), waited)).changed is True
    fake = Fake(**{"promote": ["wait", "go"], "make-promote": [None]})
    error = fake.fails(
        plan(final(), replace(read("history", bad), poll=Poll(limit=30, interval=5))),
        AvnError,
        match="history: timed out after 30 s",
    )
    assert "another name" in error.detail
    assert error.exit_code + 10 * (not error.changed) == 13
    assert 30 < fake.now < 90


def test_an_earlier_runs_promotion_is_never_undone_and_ends_with_ten_more() -> None:
    log: list[str] = []
    fake = Fake(**{"close": ["wait"], "make-close": [refused(500)]})
    steps = replace(plan(probe("fence", log), made("close")), passed_before=lambda _: True)
    fake.fails(steps, AvnError)
    assert "un-fence" not in log
    assert fake.last.changed


@pytest.mark.parametrize(
    ("meanwhile", "undone"),
    [
        ((read("role", "wait"), read("row", "wait")), True),
        ((read("role", "wait"), read("row", "go")), False),
        ((read("role", Unreachable("down")), read("row", "go")), False),
        ((read("role", Unreachable("down")), read("row", AvnError("no"))), True),
    ],
)
def test_before_anything_is_undone_it_is_seen_whether_somebody_else_was_faster(
    meanwhile: tuple[Step[Any], ...], undone: bool
) -> None:
    log: list[str] = []
    fake = Fake(x=["stop"])
    fake.fails(replace(plan(probe("fence", log), step("x")), overtaken_by=meanwhile), Refused)
    assert ("un-fence" in log) is undone
    assert bool(fake.last.changed) is not undone


def test_a_guard_forbids_a_change_at_the_last_moment() -> None:
    log: list[str] = []

    def guard(_: Answers) -> None:
        raise Refused("the pause ran out", hint="again")

    fake = Fake(**{"promote": ["wait"], "make-promote": [None]})
    fake.fails(plan(probe("fence", log), final(guard=guard)), Refused, match="ran out")
    assert "make-promote" not in fake.calls
    assert log[-1] == "un-fence"
    assert fake.last.changed is False


def opened(slug: str, log: list[str], *, made_already: bool = False) -> Step[Any]:
    def release(seen: Answers) -> None:
        log.append(f"{slug} {seen.result(slug)}")
        raise Refused("nobody's concern any more")

    def act(seen: Answers) -> Finding:
        seen.keep(slug, f"handle of {slug}")
        return go("open")

    def judge(_: Any, seen: Answers) -> Any:
        return go("open") if made_already or seen.result(slug) else todo("closed")

    opens = replace(read(slug, None), rule="r", judge=judge, poll=Poll(limit=1))
    return replace(opens, change=Act(("ccr-avn", slug), act), release=release)


@pytest.mark.parametrize("ending", ["go", "stop"])
def test_what_a_step_opened_it_closes_in_any_case(ending: str) -> None:
    log: list[str] = []
    fake = Fake(x=[ending])
    steps = plan(opened("one", log), opened("two", log, made_already=True), step("x"))
    for _ in range(2):  # a plan can be run twice
        with nullcontext() if ending == "go" else pytest.raises(Refused):
            fake.perform(steps)
        assert log == ["two None", "one handle of one"]
        log.clear()


def test_a_change_that_was_not_begun_is_not_undone_nor_half_way_because_of_another_run() -> None:
    """Another run holds the lock, and has promoted by now: this one has done nothing."""
    log: list[str] = []

    def refuse(_: Answers) -> Finding:
        raise Locked("another run holds it")

    fence = replace(probe("fence", log), change=Act(("ccr-avn", "fence"), refuse))
    fake = Fake()
    error = fake.fails(replace(plan(fence), overtaken_by=(read("role", "go"),)), Refused)
    assert (log, error.notes, fake.last.changed) == ([], (), False)


def test_what_stops_while_a_change_is_awaited_is_told() -> None:
    fake = Fake(**{"a": ["wait", "wait", "stop"], "make-a": [None]})
    fake.fails(plan(made("a", poll=Poll(limit=60))), Refused, match="never")
