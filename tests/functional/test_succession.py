"""Which service took over from which is recorded, never inferred; and one replica of a primary is promoted, never two."""

import json
import signal
from dataclasses import replace
from typing import Any

import pytest

from tests.support.operator import EU, US, Operator, ended
from tests.support.pairs import accepts, add_service, client, follows, paired, paused_for
from tests.support.wait import until

REPLICAS = ("us1", "us2")


@pytest.fixture
def three(operator: Operator) -> Operator:
    """A primary with two replicas."""
    add_service(operator, "eu", "business-4", EU)
    for name in REPLICAS:
        add_service(operator, name, "startup-4", US, source="eu")
        follows(operator, name)
    with operator.sandbox.servers.admin("eu") as admin:
        admin.config_set("repl-ping-replica-period", 50)  # several pings look like a write that only eu has
    return operator


def go(replica: str, *more: str) -> tuple[str, ...]:
    return ("switchover", "eu", replica, "--yes", *more)


def row(operator: Operator, replica: str) -> str:
    rows = operator.sandbox.platform.rows
    return str(next(name for name, one in rows.items() if one.dest == replica))


def promotes(operator: Operator, replica: str, *, by_hand: str = "", wait: bool = True) -> str:
    """A hook that promotes this replica in a way that no run knows of; ``by_hand``: what is done before, in bash."""
    waits = f" && ccr-avn gate promoted {replica} --timeout 30 --poll-interval 0.1" if wait else ""
    return f"bash -c '{by_hand or ':'} && avn service integration-delete {row(operator, replica)}{waits}'"


@pytest.mark.parametrize("words", [go("us2"), ("failover", "us2", "--yes", "--allow-data-loss")])
def test_a_sibling_that_was_promoted_since_the_checks_is_seen(three: Operator, words: tuple[str, ...]) -> None:
    seen = ("us1, another replica of eu, was promoted in the meantime", "ccr-avn switchover eu us1")
    three.ends(4, *words, "--before", promotes(three, "us1"), says=seen)
    assert list(three.sandbox.platform.rows) == [row(three, "us2")]
    assert accepts(three, "eu"), "nothing of it is left"


@pytest.mark.parametrize("listed", [True, False])
def test_a_sibling_that_does_not_answer_is_looked_up(three: Operator, listed: bool) -> None:
    """Its integration tells; a platform that takes its time may promote it yet."""
    freeze = "ccr-avn sandbox outage us1 --kind freeze"
    hook = f"bash -c '{freeze}'" if listed else promotes(three, "us1", by_hand=freeze, wait=False)
    done = three.ccr(*go("us2"), "--before", hook)
    assert done.code == (0 if listed else 4), done.err
    assert listed or "us1 is no longer listed as a replica of eu" in done.err
    assert listed or accepts(three, "eu")


def test_a_failover_on_another_machine_promotes_no_second_replica(three: Operator) -> None:
    """Of the primary nothing answers that could be locked: the mark of the first tells."""
    platform = three.sandbox.platform
    platform.options = replace(platform.options, promote_seconds=600.0)
    assert three.ccr("sandbox", "outage", "eu").code == 0
    forced = ("--allow-data-loss", "--yes")
    first = three.start("ccr-avn", "failover", "us1", *forced)
    until(lambda: [one.dest for one in platform.rows.values()] == ["us2"], "its deletion")
    elsewhere = {"CCR_AVN_STATE_DIR": str(three.home / "elsewhere")}
    marked = ("the promotion of us1 from eu was sent at", "shown by its tag ccr_promoting")
    three.ends(4, "failover", "us2", *forced, **elsewhere, says=marked)
    first.send_signal(signal.SIGINT)
    assert ended(first).code == 140
    three.ends(4, "failover", "us2", *forced, **elsewhere, says=marked)
    assert platform.services["us2"].tags == {}


SWITCH, FORCE = ("switchover", "eu", "us1"), ("failover", "us1", "--allow-data-loss")


@pytest.mark.parametrize("words", [FORCE, pytest.param(SWITCH, marks=pytest.mark.slow)])
def test_a_paste_marks_its_replica_as_a_run_does(three: Operator, words: tuple[str, ...]) -> None:
    text = three.ccr(*words, "--dry-run").out
    platform = three.sandbox.platform
    refused = three.pastes(text.replace("trap - EXIT", "exit 9; trap - EXIT"))
    assert refused.code == 9, refused.err
    assert (platform.services["us1"].tags, accepts(three, "eu")) == ({}, True), "nothing of it is left"
    three.avn("service", "tags", "update", "us2", "--add-tag", mark_of(three, "us2"))
    seen = three.pastes(text)
    assert (seen.code, platform.services["us1"].tags) == (4, {})
    assert "the promotion of us2 from eu was sent at" in seen.err
    three.avn("service", "tags", "update", "us2", "--remove-tag", "ccr_promoting")
    done = three.pastes(text)
    assert done.code == 0, done.err
    assert sorted(platform.services["us1"].tags) == ["ccr_promoted_from", "ccr_promoted_lineage"]


def mark_of(operator: Operator, replica: str) -> str:
    return operator.ccr("gate", "lineage", replica, "--promoting").out.strip()


@pytest.mark.parametrize("proof", ["tags", "journal"])
def test_one_replica_is_promoted_and_no_second_one(three: Operator, proof: str) -> None:
    three.ends(0, *go("us1", "--old-primary", "open"))
    tags = three.sandbox.platform.services["us1"].tags
    assert sorted(tags) == ["ccr_promoted_from", "ccr_promoted_lineage"], "its mark is gone"
    elsewhere = {"CCR_AVN_STATE_DIR": str(three.home / "none")} if proof == "tags" else {}
    if proof == "journal":
        three.sandbox.platform.services["us1"].tags = {}
    failover = ("failover", "us2", "--allow-data-loss", "--yes")
    for words in (go("us2"), go("us2", "--check"), failover, (*failover, "--check")):
        three.ends(4, *words, **elsewhere, says=("us1 was promoted from eu", "ccr-avn switchover eu us1"))
    done = three.ends(0, "evacuate", EU, "--yes", "--json", **elsewhere)
    assert [one["replica"] for one in json.loads(done.out)["result"]["pairs"]] == ["us1"]
    assert not accepts(three, "eu")
    assert list(three.sandbox.platform.rows) == [row(three, "us2")]


def test_a_promotion_that_may_still_happen_keeps_its_siblings_and_its_pause(three: Operator) -> None:
    """The deletion was not answered, and its integration is still listed; the same command goes on with it."""
    three.sandbox.faults.add(kind="delay", seconds=60.0, method="DELETE")
    three.ends(13, *go("us1", "--call-timeout", "4", "--doubt-timeout", "1"))
    loss = ("--allow-data-loss", "--yes")
    for words in (
        go("us2"),
        ("failover", "us2", *loss),
        ("failover", "us2", "--no-verify", *loss),
        ("evacuate", EU, "--except", "us1", "--yes"),
        ("unfence", "eu"),
    ):
        done = three.ccr(*words)
        assert done.code == 4, (words, done.err)
        assert "the promotion of us1 from eu was sent at" in done.err, words
        assert "ccr-avn switchover eu us1" in done.err or words[0] == "evacuate"
    assert "the write pause lasts until" in done.err
    assert paused_for(three, "eu") > 0
    three.ends(0, "unfence", "eu", "--force")
    assert accepts(three, "eu")


def test_a_fork_is_not_what_a_primary_was_moved_to(operator: Operator) -> None:
    """A service with its history that nobody promoted for it; it takes writes, and so does the primary."""
    forked = paired(operator, "eu", "fork")
    forked.avn("service", "integration-delete", row(forked, "fork"))
    until(lambda: accepts(forked, "fork"), "it to stand alone")
    with client(forked, "eu") as one:
        one.set("more", "x")
    for words in (("evacuate", EU, "--yes"), ("evacuate", EU, "--forced", "--allow-data-loss", "--yes")):
        forked.ends(4, *words, says="it has no replica")
    forked.ends(4, *go("fork"), says="both eu and fork accept writes")
    assert accepts(forked, "eu")
    for command in ("fence", "unfence"):
        assert forked.ccr(command, "eu").code == 0, "it keeps nobody from resuming writes"
    assert accepts(forked, "eu")


@pytest.mark.slow
def test_a_pair_that_was_moved_without_tags(pair: Operator) -> None:
    """By a token that may not set them: the journal on this machine shows it; elsewhere it is refused, and explained."""
    pair.sandbox.faults.add(kind="status", status=403, method="PATCH", path="/tags")
    pair.sandbox.faults.add(kind="status", status=403, method="PUT", path="/tags")
    pair.ends(0, "switchover", "eu", "us", "--yes")
    assert pair.sandbox.platform.services["us"].tags == {}
    before = pair.sandbox.changes()
    done = pair.ends(0, "evacuate", EU, "--yes", "--json")
    [told] = json.loads(done.out)["result"]["pairs"]
    assert (told["replica"], told["action"]) == ("us", "done")
    elsewhere: dict[str, Any] = {"CCR_AVN_STATE_DIR": str(pair.home / "none")}
    for words in (("evacuate", EU, "--yes"), ("switchover", "eu", "us", "--yes")):
        done = pair.ends(4, *words, **elsewhere, says="record")
        assert "enable" not in done.err
    assert pair.sandbox.changes() == before
    pair.sandbox.faults.clear()
    [record] = [one for one in done.err.splitlines() if "avn service tags update us" in one]
    assert pair.pastes(record[record.index("avn service tags update us") :]).code == 0
    pair.ends(0, "switchover", "eu", "us", "--yes", **elsewhere)
