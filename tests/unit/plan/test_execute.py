"""The executor on plans of its own, with time of its own: no step begins before the last one's result allows it."""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from ccr_avn.errors import AvnError, CcrError, NotProven, Refused, TimedOut, Unreachable
from ccr_avn.plan import events
from ccr_avn.plan.model import Answers, Call, Finding, Later, Poll, Probe, Step, go, todo, wait
from ccr_avn.plan.reads import BRIEFLY, MISSES, NEW_MISSES, RATE_LIMITED
from ccr_avn.process import Answer
from tests.support.executed import Fake, answer, call, change, made, plan, probe, refused, says, step


def test_a_wait_polls_until_go_and_slows_down() -> None:
    fake = Fake(a=["wait", "wait", "wait", "go"])
    run = fake.perform(plan(step("a", poll=Poll(limit=60, first=0.5, interval=0.8))))
    assert fake.calls == ["a"] * 4
    assert fake.now == pytest.approx(0.4 + 0.5 + 0.75 + 0.8)
    assert run.changed is False


def test_an_advisory_look_that_fails_is_a_warning_and_its_gate_refuses_all_the_same() -> None:
    fake = Fake(a=[refused(403)], b=["go"])
    fake.perform(plan(step("b"), checks=(step("a", advisory=True, brief=True),)))
    assert fake.calls == ["a", "b"]
    found = [event.finding for event in fake.told(events.StepDone)]
    assert [(one.reason, len(one.warnings)) for one in found] == [("not checked", 1), ("go", 0)]
    refusing = Fake(a=["stop"], b=["go"])
    refusing.fails(plan(step("b"), checks=(step("a", advisory=True),)), Refused)
    assert refusing.calls == ["a"]


@pytest.mark.parametrize(
    ("failed", "hint"),
    [
        (refused(409, "taken"), "another name"),
        (refused(401, "old"), "avn user login"),
        (refused(502, "oops"), "run the same command again"),
        (refused(403), "ccr-avn doctor"),
        (answer(code=1, stderr="ERROR\tcommand failed: UserError: Unknown option"), "your words"),
        (answer(code=-9, expired=True), "run the same command again"),
        (answer(code=1, stderr="Traceback\nSyntaxError: invalid syntax\n"), '["10.0.0.0/8"'),
        (answer(code=1, stderr="Traceback\nEOFError: EOF when reading a line\n"), "AIVEN_FORCE"),
    ],
)
def test_the_hint_of_a_change_that_failed_is_what_can_help(failed: Answer, hint: str) -> None:
    fake = Fake(**{"a": ["wait"], "make-a": [failed]})
    create = Call(("avn", "make-a"), parse=lambda _: None, hint="your words", hints={409: "another name"})
    assert hint in fake.fails(plan(step("a", change=create, poll=Poll(limit=1))), AvnError).hint


def test_what_a_change_advises_stands_beside_what_its_failure_does() -> None:
    fake = Fake(**{"a": ["wait"], "make-a": [refused(403)]})
    advising = step("a", change=change("make-a", hint="the pause ends at noon"), poll=Poll(limit=1))
    hint = fake.fails(plan(advising), AvnError).hint
    assert "ccr-avn doctor" in hint
    assert hint.endswith("; the pause ends at noon")


def test_what_is_not_needed_is_not_asked() -> None:
    fake = Fake(a=["go"], b=["go"])
    fake.perform(plan(step("a", unneeded=lambda _: "it is there"), step("b", unneeded=lambda _: "")))
    assert fake.calls == ["b"]


def test_a_wait_ends_at_its_limit_with_what_was_last_seen() -> None:
    fake = Fake(a=["wait"], b=["go"])
    waited = replace(step("a", poll=Poll(limit=3, hint="look at it")), rule="the role is master")
    error = fake.fails(plan(waited, step("b")), TimedOut)
    assert error.what == "a: timed out after 3 s waiting until the role is master", "not that it is so"
    assert (error.detail, error.hint) == ("last seen: wait", "look at it")
    assert "b" not in fake.calls
    assert fake.now < 3.5
    better = replace(
        step("a", poll=Poll(limit=1, hint="wait")), judge=lambda *_: replace(wait("it is older"), hint="raise it")
    )
    assert fake.fails(plan(better), TimedOut).hint == "raise it", "what was seen last may know better"
    assert fake.fails(plan(step("a", poll=Poll(limit=0))), TimedOut).what == "a: condition not met yet: it says go"


def test_a_stop_ends_at_once_with_the_gates_own_error() -> None:
    fake = Fake(a=["stop"])
    fake.fails(plan(replace(step("a"), rule="r", judge=says, refused=NotProven)), NotProven)
    assert fake.calls == ["a"]


@pytest.mark.parametrize(
    ("looks", "calls"),
    [
        (["go"], ["a"]),
        (["wait", "wait", "go"], ["a", "make-a", "a", "a"]),
        (["wait", "stop", "stop", "go"], ["a", "make-a", "a", "a", "a"]),  # reads may lag behind a change
        (["later", "later", "wait", "go"], ["a", "a", "a", "make-a", "a"]),  # what is waited for before a change
    ],
)
def test_a_change_runs_once_if_it_is_needed_and_is_proven_by_a_read(looks: list[str], calls: list[str]) -> None:
    fake = Fake(**{"a": looks, "make-a": [None]})
    assert fake.perform(plan(made("a"))).changed is ("make-a" in calls)
    assert fake.calls == calls


@pytest.mark.parametrize("failed", [answer(code=1), answer(code=-9, expired=True), answer(code=-15)])
def test_a_failed_change_that_acted_all_the_same_is_taken_as_done(failed: Answer) -> None:
    fake = Fake(**{"a": ["wait", "wait", "go"], "make-a": [failed]})
    assert fake.perform(plan(made("a"))).changed is True
    assert fake.calls.count("make-a") == 1


@pytest.mark.parametrize(
    ("failed", "changed"),
    [
        (refused(403), False),
        (replace(answer(code=1), started=False), False),
        (refused(404), False),
        (refused(500), "unknown"),
        (answer(code=1), "unknown"),
        (answer(code=-9, expired=True), "unknown"),
    ],
)
def test_a_failed_change_that_did_not_act_fails_and_is_not_repeated(failed: Answer, changed: Any) -> None:
    fake = Fake(**{"a": ["wait"], "make-a": [failed], "b": ["go"]})
    fake.fails(plan(made("a"), step("b")), AvnError)
    assert fake.calls.count("make-a") == 1
    assert "b" not in fake.calls
    assert fake.last.changed == changed, "reads may lag: only a refusal proves that nothing was changed"
    assert [event.refused for event in fake.told(events.ChangeEnded)] == [failed.started and changed is False]


def test_doubt_that_no_look_settles_counts_as_changed() -> None:
    fake = Fake(**{"a": ["wait", answer(code=1)], "make-a": [answer(code=1, stderr="reset")]})
    assert "reset" in fake.fails(plan(made("a")), AvnError).detail
    assert fake.last.changed == "unknown"


@pytest.mark.parametrize(("before", "misses"), [(False, NEW_MISSES), (True, MISSES)])
def test_a_read_is_forgiven_a_few_misses(before: bool, misses: int) -> None:
    first = (step("ok"),) if before else ()
    Fake(ok=["go"], a=[*[answer(code=1)] * misses, "go"]).perform(plan(*first, step("a")))
    fake = Fake(ok=["go"], a=[answer(code=1, stderr="x\nlast line")])
    assert fake.fails(plan(*first, step("a")), AvnError).detail == "last line"
    assert fake.calls.count("a") == misses + 1


@pytest.mark.parametrize(("version", "kind"), [("4.18.0", AvnError), ("2.14.0", Refused)])
def test_avns_own_argument_error_is_never_forgiven(version: str, kind: type[CcrError]) -> None:
    fake = Fake(**{"a": [answer(code=2)], "b": ["go"], "--version": [answer(stdout=f"aiven-client {version}")]})
    fake.fails(plan(step("a")), kind, match="too old" if kind is Refused else "failed")
    assert fake.calls == ["a", "--version"]
    fake.fails(plan(checks=(step("a"), step("b"))), kind)
    assert "b" not in fake.calls


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409])
def test_what_asking_again_can_not_mend_is_not_asked_again(status: int) -> None:
    fake = Fake(ok=["go"], a=[refused(status)])
    assert str(status) in fake.fails(plan(step("ok"), step("a")), AvnError).detail
    assert fake.calls == ["ok", "a"]


@pytest.mark.parametrize(("status", "asked"), [(404, 2), (403, 2), (401, 1)])
def test_after_a_change_of_ours_rights_and_services_may_need_a_moment(status: int, asked: int) -> None:
    fake = Fake(**{"a": ["wait", "go"], "make-a": [None], "b": [refused(status), "go"]})
    with suppress(AvnError):
        fake.perform(plan(made("a"), step("b")))
    assert fake.calls.count("b") == asked


def test_once_a_check_has_refused_nothing_is_waited_for() -> None:
    fake = Fake(ok=["go"], c=["stop"], a=[answer(code=1)])
    fake.fails(plan(checks=(step("ok"), step("c"), step("a"))), Refused)
    assert fake.calls == ["ok", "c", "a"]


def test_what_does_not_exist_can_be_an_answer() -> None:
    fake = Fake(a=[refused(404)])
    fake.perform(plan(replace(step("a"), read=Call(("avn", "a"), json.loads, absent="go"))))
    assert fake.calls == ["a"]


def test_a_rate_limit_is_waited_for_as_long_as_the_platform_asks() -> None:
    fake = Fake(a=[refused(429, "slow down - try again in 27s"), refused(429, "slow down - try again in 3s"), "go"])
    fake.perform(plan(step("a")))
    missed = [event for event in fake.events if isinstance(event, events.Missed)]
    assert [event.again_in for event in missed] == pytest.approx([27 * 1.05, 3 * 1.05])
    assert "in 28 s" in missed[0].text
    assert fake.now >= 30


def test_a_rate_limit_is_not_waited_for_without_end() -> None:
    fake = Fake(a=[refused(429, "try again in 100s")])
    fake.fails(plan(step("a")), AvnError)
    assert fake.now <= RATE_LIMITED * 1.2


def test_a_brief_look_is_asked_once() -> None:
    fake = Fake(ok=["go"], a=[answer(code=1), "go"])
    fake.fails(plan(step("ok"), step("a", brief=True)), AvnError)
    assert fake.calls == ["ok", "a"]
    assert fake.deadlines == {"ok": 60.0, "a": BRIEFLY}


def test_what_an_answer_had_to_leave_out_is_a_warning() -> None:
    class Partial(str):
        __slots__ = ()
        left_out = ("eu: state is missing",)

    fake = Fake(a=["go"])
    fake.perform(plan(replace(step("a"), read=Call(("avn", "a"), lambda _: Partial("go")))))
    [done] = fake.told(events.StepDone)
    assert done.finding.warnings == ("eu: state is missing",)


def test_an_unreadable_answer_counts_as_a_miss() -> None:
    def refuse(_: str) -> Any:
        raise AvnError("unreadable")

    fake = Fake(a=["x"])
    fake.fails(plan(replace(step("a"), read=Call(("avn", "a"), refuse))), AvnError, match="unreadable")
    assert len(fake.calls) == NEW_MISSES + 1


@pytest.mark.parametrize(("passing", "asked"), [(True, MISSES + 1), (False, 1)])
def test_a_data_plane_is_asked_again_only_if_that_may_help(passing: bool, asked: int) -> None:
    looks = []

    def read(_: Answers) -> Any:
        looks.append(1)
        raise Unreachable("missing", passing=passing)

    Fake().fails(plan(replace(step("a"), read=Probe(read))), Unreachable)
    assert len(looks) == asked


def test_holes_are_filled_from_earlier_answers() -> None:
    source = step("a")
    hole = Later(variable="x", fill=lambda seen: f"<{seen.of(source)}>")
    fake = Fake(a=["go"], b=["wait", "go"], make=[None])
    fake.perform(plan(source, step("b", change=change("make", hole), poll=Poll(limit=1))))
    assert [event.argv for event in fake.told(events.ChangeStarted)] == [("avn", "make", "<go>")]


def test_the_same_read_right_after_is_not_made_twice() -> None:
    fake = Fake(a=["go"])
    fake.perform(plan(step("a"), replace(step("b"), read=call("a"))))
    assert fake.calls == ["a"]


def test_a_failure_undoes_backwards_what_was_done() -> None:
    log: list[str] = []
    fake = Fake(x=["stop"])
    error = fake.fails(plan(probe("one", log), probe("stuck", log), probe("two", log), step("x")), Refused)
    assert log == ["one", "stuck", "two", "un-two", "un-stuck", "un-one"]
    assert [bool(event.failed) for event in fake.told(events.Undone)] == [False, True, False]
    assert error.notes == ("two: two is as it was", "stuck: NOT undone: stuck; none", "one: one is as it was")
    assert fake.last.changed is False


FAILED: dict[str, Any] = {"x": ["wait"], "make-x": [answer(code=1)]}


@pytest.mark.parametrize(
    ("last", "script"), [((step("x"),), {"x": ["stop"]}), ((made("x"),), FAILED)], ids=["refused", "a failed change"]
)
def test_after_the_point_of_no_return_nothing_is_undone(last: tuple[Step[Any], ...], script: dict[str, Any]) -> None:
    log: list[str] = []
    Fake(**script).fails(plan(probe("one", log), probe("two", log, final=True), *last), CcrError)
    assert log == ["one", "two"]


def test_a_step_that_breaks_or_a_final_change_that_did_not_act_leaves_a_way_back() -> None:
    log: list[str] = []
    Fake().fails(plan(probe("one", log), probe("two", log, broken=True)), Refused)
    assert log == ["one", "two", "un-two", "un-one"]
    Fake(**FAILED).fails(plan(probe("three", log), made("x", final=True)), AvnError)
    assert log[-1] == "un-three"


def test_a_plan_validates_itself() -> None:
    with pytest.raises(ValueError, match="two steps"):
        plan(step("a"), step("a"))
    with pytest.raises(ValueError, match="only look"):
        plan(checks=(made("a"),))


def test_a_change_that_may_be_repeated_is_sent_until_it_is_accepted() -> None:
    fake = Fake(**{"end": ["wait"], "make-end": [refused(503), refused(429), None]})

    def judge(_: Any, seen: Answers) -> Finding:
        return go("gone") if seen.result("end") == "answered" else todo("there")

    fake.perform(plan(replace(made("end", poll=Poll(limit=120.0), again=True), rule="it is gone", judge=judge)))
    assert (fake.calls.count("make-end"), fake.now < 120) == (3, True)


def test_one_that_was_refused_for_good_is_sent_once_and_what_fails_until_its_limit_not_for_as_long_again() -> None:
    cleaning = plan(made("end", poll=Poll(limit=30.0), again=True, always=True))
    for status, least, most in ((403, 1, 1), (503, 4, 9)):
        fake = Fake(**{"end": ["wait"], "make-end": [refused(status)]})
        fake.fails(cleaning, AvnError)
        assert least <= fake.calls.count("make-end") <= most
        assert fake.now < 45


@pytest.mark.parametrize("also", [False, True])
def test_what_was_taken_back_is_no_change(also: bool) -> None:
    """If it is shown to be, and nothing else was changed."""
    more = {"more": ["wait", "go"], "make-more": [None]} if also else {}
    fake = Fake(**{"mark": ["wait", "go"], "make-mark": [None], "stops": ["stop"], "unmark": ["wait", "go"]}, **more)
    fake.answers["make-unmark"] = [None]
    steps = (made("mark"), *((made("more"),) if also else ()), step("stops"))
    fake.fails(plan(*steps, made("unmark", restores="mark", always=True)), Refused)
    assert fake.calls[-3:] == ["unmark", "make-unmark", "unmark"]
    assert fake.last.changed is also
