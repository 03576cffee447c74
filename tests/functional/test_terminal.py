"""In a terminal every step is a live line; elsewhere one plain line a change."""

from tests.support.drills import BY_LINK, QUICK, primary_at, services
from tests.support.operator import EU, Make, Operator
from tests.support.pairs import paired
from tests.support.terminal import in_a_terminal


def test_a_terminal_shows_what_is_waited_for_and_how_long_and_what_is_missed(make: Make) -> None:
    operator = make(build_seconds=1.5)
    operator.sandbox.faults.add(kind="status", method="GET", path="/service$", times=2)
    code, shown = in_a_terminal(operator, "enable", "eu", "us", "--primary-cloud", EU, "--replica-cloud", EU)
    assert code == 0, shown
    assert "warning: eu and us are both in" in shown
    assert "primary-running" in shown
    assert "of 1200 s)" in shown
    assert "✓ marker" in shown


def test_only_the_name_typed_after_the_question_promotes(operator: Operator) -> None:
    paired(operator)
    before = operator.sandbox.changes()
    code, shown = in_a_terminal(operator, "switchover", "eu", "us", early="us\nus\n", answer="y\n")
    assert code == 2, shown
    assert operator.sandbox.changes() == before
    for told in ("promoted", "old primary", "write pause", "may be lost"):
        assert told in shown
    assert "not confirmed" in operator.ccr("runs", "show", "latest").out
    code, shown = in_a_terminal(operator, "switchover", "eu", "us", answer="us\n")
    assert code == 0, shown


def test_a_drill_asks_before_it_makes_anything_and_clean_before_it_terminates(operator: Operator) -> None:
    primary_at(operator)
    words = [word for word in QUICK if word != "--yes"]
    code, shown = in_a_terminal(operator, *words, early="yes\n", answer="y\n")
    assert (code, operator.sandbox.changes()) == (2, []), shown
    for told in ("0.1 USD an hour", "is not changed and keeps serving"):
        assert told in shown
    operator.ends(0, *BY_LINK, "--keep")
    [kept] = services(operator) - {"eu"}
    code, shown = in_a_terminal(operator, "drill", "--clean", "--only", kept, answer="no\n")
    assert (code, services(operator)) == (4, {"eu", kept}), shown
    assert "0.1 USD an hour, its drill was started with --keep" in " ".join(shown.split())
    code, shown = in_a_terminal(operator, "drill", "--clean", "--only", kept, answer="yes\n")
    assert (code, services(operator)) == (0, {"eu"}), shown


def test_a_status_is_watched_in_place_until_ctrl_c(operator: Operator) -> None:
    paired(operator)
    code, shown = in_a_terminal(
        operator, "status", "--watch", "0.1", "--exit-code", when=r"(?s)eu +us.*eu +us", answer="\x03"
    )
    assert code == 0, shown
    assert "every 0.1 s; Ctrl-C ends" in shown
    assert "\x1b[32mok" not in shown, "NO_COLOR is heeded"
    assert "ok" in shown
