"""Procedures as plain values: their order, their argv; and that avn's own parser accepts every argv."""

from typing import Any

import pytest

from ccr_avn.errors import Unreachable
from ccr_avn.plan.model import Call, Later, Plan, fill
from ccr_avn.procedures import old_primary
from ccr_avn.procedures.enable import Enable
from ccr_avn.procedures.failover import Failover
from ccr_avn.procedures.gates.pair_state import PairState
from ccr_avn.procedures.seen import FENCE, Fenced, Seen, Sides
from ccr_avn.procedures.setting import Setting
from ccr_avn.procedures.switchover import Switchover
from ccr_avn.procedures.verify import Verify
from ccr_avn.valkey.writers import Snapshot
from tests.support.avn_parser import read_by_avn
from tests.support.factories import fact, side
from tests.support.plans import PLANS, SETTING, switching_plans


def test_a_pasted_check_lets_through_what_the_run_does() -> None:
    verb = Switchover(primary="eu", replica="us", at=SETTING, allow_smaller=True, max_lag_bytes=7)
    [argv] = [step.command for step in verb.plan().checks if step.slug == "parity"]
    assert argv[4:] == ("--max-lag-bytes", "7", "--allow-smaller", "--project", "p", "--check")


def calls(plan: Plan) -> list[tuple[str, ...]]:
    every = [call for step in plan.all_steps for call in (step.read, step.change) if isinstance(call, Call)]
    return [tuple("x" if isinstance(word, Later) else word for word in call.argv) for call in every]


def test_the_installed_avns_parser_accepts_every_argv() -> None:
    argvs = {argv for plan in PLANS for argv in calls(plan)} - {("avn", "service", "create", "--help")}
    assert len(argvs) > 10
    for argv in sorted(argvs):
        if "--service-integration" in argv:
            continue  # in no avn released so far: `--replica-flag` finds that out before any change
        read_by_avn(argv[1:])


def test_every_read_asks_for_json_and_every_change_does_not() -> None:
    for plan in PLANS:
        for step in plan.all_steps:
            if isinstance(step.read, Call) and "--help" not in step.read.argv:
                assert "--json" in step.read.argv
            if isinstance(step.change, Call):
                assert "--json" not in step.change.argv


def test_the_steps_of_enable_in_order() -> None:
    flag: Any = {"replica_flag": "read-replica-for"}
    plan = Enable(primary="eu", replica="us", at=SETTING, primary_cloud="c", replica_cloud="d", **flag).plan()
    assert [step.slug for step in plan.checks] == ["flag", "pair", "offers", "vpc"]
    refused = {step.slug: step.change.hints[403] for step in plan.steps if isinstance(step.change, Call)}
    assert ["no backup" in refused[slug] for slug in ("primary", "replica")] == [False, True]
    assert [step.slug for step in plan.steps] == [
        "primary",
        "primary-running",
        "primary-backup",
        "replica",
        "replica-running",
        "integration",
        "link",
        "databases",
        "marker",
    ]


def test_the_steps_of_a_switchover_in_order() -> None:
    plan = switching_plans()[0]
    assert [step.slug for step in plan.checks] == ["pair", "integration", "health", "databases", "parity"]
    assert [step.slug for step in plan.steps] == [
        "marked",
        "fence",
        "caught-up",
        "siblings",
        "siblings-listed",
        "fence-held",
        "promote",
        "history",
        "accepts-writes",
        "origin",
        "integration-gone",
        "running",
        "audit",
        "close",
        "closed",
        "unmarked",
    ]


def test_between_fence_and_first_write_avn_is_started_once() -> None:
    """Every start of avn inside the fence is outage. Only a primary with other replicas costs more."""
    for plan in switching_plans():
        slugs = [step.slug for step in plan.steps]
        if "accepts-writes" not in slugs:
            continue  # on the word of the control plane alone
        begins = slugs.index("fence") if "fence" in slugs else 0
        inside = plan.steps[begins : slugs.index("accepts-writes") + 1]
        alone = [step for step in inside if not (step.rare and step.unneeded and step.unneeded(Seen()))]
        assert not [step.slug for step in alone if isinstance(step.read, Call)]
        assert [step.slug for step in alone if isinstance(step.change, Call)] == ["promote"]
        assert [step.slug for step in plan.steps if step.final] == ["promote"]


@pytest.mark.parametrize("verify", [True, False])
def test_a_failover_waits_for_an_unanswered_deletion_as_long_as_it_was_told(verify: bool) -> None:
    verb = Failover(replica="us", at=SETTING, no_verify=not verify, doubt_timeout=7.0)
    [promote] = [step for step in verb.plan().steps if step.slug == "promote"]
    assert promote.doubt_limit == 7.0


def test_a_link_keeps_to_the_lag_that_it_names() -> None:
    link = Verify(primary="eu", replica="us", at=SETTING, level="link", max_lag_bytes=4711).plan().steps[0]
    assert "4711" in link.rule
    assert link.command[5:7] == ("--max-lag-bytes", "4711")


def test_no_step_says_that_writes_are_paused_where_they_may_not_be() -> None:
    """Each is also a command of its own; with --fence observe, and after a failover, nothing is paused."""
    for plan in PLANS:
        for one in plan.steps:
            if one.slug not in ("fence", "fence-held", "hold", "promote"):
                assert "paused" not in one.poll.hint, one.slug
                assert "paused" not in one.purpose, one.slug


@pytest.mark.parametrize("step_of", [old_primary.set_filter, old_primary.power_off])
@pytest.mark.parametrize(
    ("born", "checked", "verdict"),
    [
        ("2026-08-01T09:00:00Z", True, "todo"),
        ("2026-08-02T09:00:00Z", True, "stop"),
        (None, True, "stop"),
        ("2026-08-02T09:00:00Z", False, "todo"),
    ],
)
def test_a_namesake_that_was_created_since_the_checks_is_neither_closed_nor_powered_off(
    step_of: Any, born: str | None, checked: bool, verdict: str
) -> None:
    """A gate has made no checks: the service that it is asked about is the one that is meant."""
    found, now = (fact("eu", create_time=made) for made in ("2026-08-01T09:00:00Z", born))
    seen = Seen()
    if checked:
        seen.checked["eu"] = found
    for one in (now, now.model_copy(update={"state": "POWEROFF"})):
        finding = step_of(SETTING, "eu", limit=1, replica="us").judge(one, seen)
        assert finding.verdict == (verdict if verdict == "stop" or one is now else "go")
        assert ("eu is not the service that the checks found" in finding.reason) == (verdict == "stop")


OLD, ANEW, NEW = "a" * 40, "b" * 40, "c" * 40


@pytest.mark.parametrize(
    ("followed", "primary_now", "verdict"),
    [
        (OLD, side(replid=ANEW, replid2=OLD), "go"),  # not even asked
        (ANEW, side(replid=ANEW, replid2=OLD), "go"),
        (ANEW, side(replid=ANEW), "stop"),
        (ANEW, side(replid=OLD), "stop"),
        (NEW, side(replid=ANEW, replid2=OLD), "stop"),
        (ANEW, None, "stop"),
    ],
)
def test_a_replica_may_have_followed_its_primary_to_another_node(
    monkeypatch: pytest.MonkeyPatch, followed: str, primary_now: Any, verdict: str
) -> None:
    """Only what the primary itself says of the history that it had when its writes were paused counts."""

    def asked(*_: object) -> Any:
        if primary_now is None:
            raise Unreachable("eu: no answer", hint="")
        return primary_now

    monkeypatch.setattr(Setting, "replication", asked)
    seen, verb = Seen(), Switchover(primary="eu", replica="us", at=SETTING)
    seen.keep(FENCE, Fenced(target=side(replid=OLD)))
    [step] = [one for one in verb.plan().steps if one.slug == "history"]
    promoted = side(replid="d" * 40, replid2=followed, second_offset=101, offset=150)
    following = PairState(state="following")
    for health in (None, Sides(primary=side(replid=OLD), replica=side("slave", replid=OLD), state=following)):
        seen.remember("health", health)
        assert step.judge(promoted, seen).verdict == verdict


@pytest.mark.parametrize(
    ("verb", "looked"), [(Switchover(primary="eu", replica="us"), "health"), (Failover(replica="us"), "last-known")]
)
def test_the_command_in_the_journal_can_be_typed(verb: Switchover | Failover, looked: str) -> None:
    """Its token is one that `gate history` reads: what the replica had before it was promoted."""
    [history] = [step for step in verb.plan().steps if step.slug == "history"]
    seen, replica = Seen(), side("slave", 7)
    seen.remember(looked, Sides(primary=None, replica=replica, state=PairState(state="following")))
    words = fill(history.command, seen)
    assert Snapshot.parse(words[words.index("--token") + 1]) == Snapshot.of(replica)
