"""What is half-way stays safe: in this run, in the next one, and whatever was done by somebody else meanwhile."""

import json
import re
import shlex
import signal
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ccr_avn.valkey.connect import Endpoint
from ccr_avn.valkey.fence import Fence
from tests.support.held import in_force
from tests.support.operator import EU, Make, Operator, Started, ended, ends
from tests.support.pairs import (
    SWITCH,
    accepts,
    add_service,
    client,
    deletions,
    is_promoted,
    missing,
    paired,
    paused_for,
    uri,
)
from tests.support.wait import until
from tests.support.writers import Load


def sets(operator: Operator, **options: Any) -> None:
    """What the platform does differently from now on."""
    operator.sandbox.platform.options = replace(operator.sandbox.platform.options, **options)


def runs_to(operator: Operator, line: str, *words: str, anew: bool = False) -> tuple[Started, str]:
    """A switchover that has just told this on standard error, and all that it has told so far."""
    start = operator.start_anew if anew else operator.start
    child = start("ccr-avn", *SWITCH, *words)
    return child, child.tells(line)


@pytest.mark.slow
def test_an_old_primary_that_can_not_be_closed_is_never_opened_again(pair: Operator) -> None:
    pair.sandbox.faults.add(kind="status", status=403, method="PUT", path="/service/eu$", times=2)
    with Load(uri(pair, "eu")) as load:
        for words in ((), ("--json",)):
            done = pair.ends(13, *SWITCH, *words)
            assert "us is the primary now; eu is not closed yet" in done.err
            assert "writes on eu are paused until" in done.err
            assert "avn service update eu" in done.err
            assert "undone" not in done.err
            assert paused_for(pair, "eu") > 60
        told = json.loads(done.out)
        assert told["changed"] is True
        assert told["result"]["promoted"] is True
        assert told["result"]["writes_paused_until"].endswith("Z")
        assert told["error"]["notes"]
        pair.ends(0, *SWITCH)
    assert missing(pair, load.acknowledged) == []


def test_a_deletion_that_answers_an_error_and_acts_keeps_its_fence(pair: Operator) -> None:
    """The list is stale as well: the role alone tells."""
    sets(pair, stale_rows=6.0, promote_seconds=1.0)
    pair.sandbox.faults.add(kind="status-after", method="DELETE", path="/integration/")
    with Load(uri(pair, "eu")) as load:
        pair.ends(0, *SWITCH, says="checking whether the request took effect")
    assert len(deletions(pair)) == 1
    assert missing(pair, load.acknowledged) == []


def test_a_deletion_that_answers_an_error_and_does_not_act_is_waited_for(pair: Operator) -> None:
    pair.sandbox.faults.add(kind="status", status=502, method="DELETE", path="/integration/")
    pair.ends(13, *SWITCH, "--doubt-timeout", "1", says=("promote-doubt: waiting", "writes on eu resumed"))
    assert accepts(pair, "eu")


def test_a_deletion_in_doubt_skips_nothing_when_the_command_is_run_again(pair: Operator) -> None:
    """It had no answer and did not act; the pause was ended as the hint says, and the replica is behind."""
    pair.sandbox.faults.add(kind="hang", method="DELETE", path="/integration/")
    pair.ends(13, *SWITCH, "--call-timeout", "2", "--doubt-timeout", "0.5", "--promote-timeout", "30")
    pair.sandbox.faults.clear()
    assert pair.ccr("unfence", "eu").code == 4, "it may still be carried out"
    pair.ends(0, "unfence", "eu", "--force")
    held_up = "bash -c 'ccr-avn sandbox outage us --kind cut && ccr-avn gate accepts-writes eu'"
    with Load(uri(pair, "eu")) as load:
        child, seen = runs_to(pair, "caught-up: ", "--before", held_up)
        pair.sandbox.servers.heal("us")
        done = ends(child, 0)
    assert "nothing to wait for" not in seen + done.err
    assert missing(pair, load.acknowledged) == []


def test_a_namesake_of_the_old_primary_is_left_as_it_is(pair: Operator) -> None:
    """Terminated, and created anew, while the run was stopped behind its promotion."""
    child, _ = runs_to(pair, "accepts-writes: ok", "--old-primary", "power-off", anew=True)
    child.send_signal(signal.SIGSTOP)
    services = pair.sandbox.platform.services
    before = services["eu"].created
    pair.sandbox.platform.delete("eu")
    add_service(pair, "eu", "business-4", EU)
    services["eu"].created = before + timedelta(hours=1)
    child.send_signal(signal.SIGCONT)
    done = ends(child, 14, says="eu is not the service that the checks found")
    assert "power-off" not in done.err[done.err.index("eu is not the service") :], "nor is it to be done by hand"
    assert "us is the primary" in done.err
    assert services["eu"].powered
    assert accepts(pair, "eu")


def test_the_same_command_during_a_promotion_waits_for_it(pair: Operator) -> None:
    """Deleted and no master yet: nothing is undone, by nobody, and all commands call it by one name."""
    sets(pair, promote_seconds=3600.0)
    with Load(uri(pair, "eu")) as load:
        child, _ = runs_to(pair, "promote: avn")
        until(lambda: is_promoted(pair), "the integration to be deleted")
        child.send_signal(signal.SIGINT)
        ends(child, 140, says="the promotion of us was sent")
        check = pair.ends(0, "switchover", "eu", "us", "--check")
        assert "being promoted" in check.out
        assert "eu is not closed yet: writes on it are paused until" in check.err
        child, seen = runs_to(pair, "promote: waiting")
        assert paused_for(pair, "eu") > 60
        pair.sandbox.platform._promote("us")
        again = ends(child, 0)
        assert "undone" not in seen + again.err
    assert len(deletions(pair)) == 1
    assert missing(pair, load.acknowledged) == []


def test_a_replica_that_comes_back_empty_leaves_the_old_primary_alone(make: Make) -> None:
    pair = paired(make(promote_empty=True))
    with client(pair, "eu") as old:
        old.mset({f"key:{number}": "x" for number in range(500)})
        old.wait(1, 5000)
    for _ in range(2):
        done = pair.ends(
            14, *SWITCH, says=("only eu has it", "do not terminate eu", "us was promoted, and must not take over")
        )
        assert "run the same command again" not in done.err
    old_service = pair.sandbox.platform.services["eu"]
    assert (old_service.powered, old_service.user_config["ip_filter"]) == (True, ["0.0.0.0/0", "::/0"])
    assert paused_for(pair, "eu") > 60
    resume = re.search(r"to resume them now: `ccr-avn (.+)`", done.err)
    assert resume, done.err
    pair.ends(0, *shlex.split(resume[1]))
    assert accepts(pair, "eu")
    with client(pair, "eu") as old:
        assert old.dbsize() >= 500


def test_writes_that_only_the_old_primary_has_are_told(pair: Operator) -> None:
    """Killed behind the promotion, and run again after the pause ran out."""
    pair.sandbox.faults.add(kind="hang", method="PUT", path="/service/eu$")  # it is not closed, however late it dies
    child, _ = runs_to(pair, "accepts-writes: ok", "--fence-ttl", "1", "--promote-timeout", "2")
    child.kill()
    ended(child)
    pair.sandbox.faults.clear()
    until(lambda: paused_for(pair, "eu") == 0.0, "the pause to run out")
    with Load(uri(pair, "eu")):
        done = pair.ends(16, *SWITCH, "--json", says="do not terminate eu")
    told = json.loads(done.out)["result"]
    assert told["new_primary"] == "us"
    assert told["bytes_not_replicated"] > 0
    assert "to resume" not in done.err
    assert pair.sandbox.platform.services["eu"].user_config["ip_filter"] == ["192.0.2.1/32"]
    assert pair.ccr(*SWITCH).code == 16, "it is as true as before, although eu can't be asked any more"


def test_an_old_primary_with_data_of_its_own_is_closed_and_not_powered_off(pair: Operator) -> None:
    """Somebody ends the pause right behind the promotion: what is written then is on eu only."""
    pair.sandbox.faults.add(kind="delay", seconds=1.0, method="PATCH", path="/tags")
    with Load(uri(pair, "eu")):
        child, _ = runs_to(pair, "accepts-writes: ok", "--old-primary", "power-off")
        with pair.sandbox.servers.admin("eu") as admin:
            admin.client_unpause()
        done = ends(child, 16)
    assert "closed instead of powered off" in done.out
    service = pair.sandbox.platform.services["eu"]
    assert (service.powered, service.user_config["ip_filter"]) == (True, ["192.0.2.1/32"])
    assert "--expect-none" in pair.ccr("switchover", "eu", "us", "--dry-run", "--old-primary", "power-off").out
    assert pair.ccr("gate", "audit", "eu", "us", "--expect-none").code == 6, "a pasted preview ends here"


def test_a_lost_network_is_not_a_closed_service(pair: Operator) -> None:
    pair.sandbox.faults.add(kind="delay", seconds=1.0, method="PUT", path="/service/eu$")
    child, _ = runs_to(pair, "close: avn")
    pair.sandbox.servers.isolate("us")
    child.tells("closed: waiting: whether it is closed is unknown: us does not answer from this machine either")
    pair.sandbox.servers.heal("us")
    ends(child, 0)


def test_writes_that_come_through_while_it_is_being_closed_are_told(pair: Operator) -> None:
    """The histories were compared by then: what a connection from before saw last counts."""
    pair.sandbox.faults.add(kind="delay", seconds=1.0, method="PUT", path="/service/eu$")
    with Load(uri(pair, "eu")) as load:
        child, _ = runs_to(pair, "audit: ok", "--json")
        with pair.sandbox.servers.admin("eu") as admin:
            admin.client_unpause()
        done = ends(child, 16)
    assert json.loads(done.out)["result"]["writes_not_replicated"] > 0
    assert len(missing(pair, load.acknowledged)) > 0


def test_a_pause_that_ended_with_its_server_is_no_success(pair: Operator) -> None:
    """It comes back with its last dump and another history: what it took meanwhile can't be told."""
    pair.sandbox.faults.add(kind="delay", seconds=1.0, method="PUT", path="/service/eu$")
    child, _ = runs_to(pair, "accepts-writes: ok", "--json")
    pair.sandbox.servers.kill("eu")
    pair.sandbox.servers.heal("eu")
    done = ends(child, 16, says="eu may have writes that us lacks")
    assert json.loads(done.out)["result"]["bytes_not_replicated"] is None


def test_clients_that_a_filter_leaves_connected_are_cut(make: Make) -> None:
    """The filter turns away new connections only, and idle ones end after a second."""
    operator = paired(make(filter_cuts="new-only"))
    operator.avn("service", "update", "eu", "-c", "valkey_timeout=1")
    with Load(uri(operator, "eu")) as load:
        done = operator.ends(0, *SWITCH)
        assert "no client is connected" in done.out
        with operator.sandbox.servers.admin("eu") as admin:
            assert [one for one in admin.client_list() if one["user"] == "default"] == []
    assert missing(operator, load.acknowledged) == []


def test_a_process_that_stood_still_for_longer_than_its_fence(pair: Operator) -> None:
    with Load(uri(pair, "eu")) as load:
        child, _ = runs_to(pair, "fence: done", "--fence-ttl", "1", anew=True)
        child.send_signal(signal.SIGSTOP)
        count = len(load.acknowledged)
        until(
            lambda: is_promoted(pair) or (paused_for(pair, "eu") == 0.0 and len(load.acknowledged) > count + 100),
            "writes to come through when the pause has run out",
        )
        child.send_signal(signal.SIGCONT)
        done = ended(child)
        assert done.code in (0, 4), done.err
        pair.ends(0, *SWITCH)
    assert missing(pair, load.acknowledged) == []


def test_the_old_filter_is_known_to_the_run_that_goes_on(pair: Operator) -> None:
    """Kept in the journal before anything changes; the command that restores it works as it is printed."""
    networks = [{"network": "10.0.0.0/8", "description": None}, {"network": "127.0.0.0/8", "description": "here"}]
    pair.sandbox.platform.services["eu"].user_config["ip_filter"] = networks
    child, _ = runs_to(pair, "close: done")
    child.send_signal(signal.SIGINT)
    ended(child)
    done = pair.ends(0, *SWITCH, "--json")
    result = json.loads(done.out)["result"]
    assert result["ip_filter_before"] == networks
    assert pair.pastes("\n".join(result["restore"])).code == 0
    assert pair.sandbox.platform.services["eu"].user_config["ip_filter"] == networks


@pytest.mark.parametrize(
    "platform", [{"stale_rows": 60.0}, {"promote_seconds": 60.0}], ids=["promoted, still listed", "under way"]
)
def test_after_a_promotion_nobody_resumes_writes_by_mistake(make: Make, platform: dict[str, float]) -> None:
    """No tag tells of it yet, and no journal: only the replica's history does."""
    pair = paired(make(**platform))
    pair.ends(0, "fence", "eu", "--ttl", "120")
    assert pair.ccr("unfence", "eu").code == 0, "it still follows"
    pair.ends(0, "fence", "eu", "--ttl", "120")
    pair.avn("service", "integration-delete", next(iter(pair.sandbox.platform.rows)))
    if "promote_seconds" not in platform:
        until(lambda: accepts(pair, "us"), "us to be promoted")
    refused = pair.ends(4, "unfence", "eu", says="us was promoted from eu, or is being promoted")
    assert paused_for(pair, "eu") > 0
    [again] = re.findall(r"there anyway: (ccr-avn unfence eu .*--force)$", refused.err, re.MULTILINE)
    assert pair.pastes(again).code == 0
    assert accepts(pair, "eu")


def test_while_another_run_holds_the_fence_nothing_is_begun(pair: Operator) -> None:
    with in_force(Fence(Endpoint(service="eu", uri=uri(pair, "eu")), "20260101T000000Z-abcdef", 30)):
        before = pair.sandbox.changes()
        for words in (SWITCH, ("fence", "eu"), ("failover", "us", "--allow-data-loss", "--yes")):
            pair.ends(4, *words, says="another run holds the write pause on eu: 20260101T000000Z-abcdef")
        assert pair.sandbox.changes() == before
        assert paused_for(pair, "eu") > 1
    assert accepts(pair, "eu")


def test_what_only_the_old_primary_has_can_be_listed(pair: Operator) -> None:
    """As the message about it says: opened again, and compared although nothing replicates."""
    pair.ends(0, *SWITCH, "--old-primary", "open")
    words = ("verify", "eu", "us", "--unlinked", "--level", "values", "--round-interval", "0.1")
    with client(pair, "eu") as old, client(pair, "us") as new:
        old.mset({"here": "x", "same": "x", "other": "1"})
        new.mset({"there": "x", "same": "x", "other": "2"})
        pair.ends(6, *words, "--differences", "found.jsonl")
        found = [json.loads(line) for line in (pair.home / "found.jsonl").read_text().splitlines()]
        told = {(one["kind"], one["key"]) for one in found}
        assert told == {("missing", "here"), ("extra", "there"), ("value", "other")}
        pair.ends(2, "verify", "eu", "us", "--unlinked")
        for one in (old, new):
            one.flushall()
            one.set("same", "x")
    equal = pair.ends(0, *words)
    assert "us has the same data as eu: proven by the values of 1 keys" in equal.out
    for none in (("--match", "typo:*"), ("--db", "3")):
        assert pair.ccr(*words, *none).code == 6, "where no key matches nothing is equal"
