"""`failover`: the primary is dead, frozen or gone; what may be lost is stated; nobody's healthy service is touched."""

import json
import re
import time

import pytest

from ccr_avn.valkey.marker import WATCH
from tests.support.operator import EU, Make, Operator
from tests.support.pairs import FAIL_OVER, accepts, add_service, client, deletions, is_promoted, origin, paired, uri
from tests.support.wait import until


@pytest.mark.parametrize("fate", ["killed", "cut", pytest.param("frozen", marks=pytest.mark.slow)])
def test_a_lost_primary_is_replaced(pair: Operator, fate: str) -> None:
    with client(pair, "eu") as old:
        old.set("kept", "x")
        old.wait(1, 1000)
    strike = {"killed": "kill", "frozen": "freeze", "cut": "cut_replication"}[fate]
    getattr(pair.sandbox.servers, strike)("us" if fate == "cut" else "eu")
    file = pair.home / "app.env"
    done = pair.ends(0, *FAIL_OVER, "--json", "--write-env", str(file))
    told = json.loads(done.out)["result"]
    assert told["rpo_estimate"]["how"]
    assert told["old_primary"] == "eu"
    assert any("not fenced" in one["what"] for one in told["risks"])
    assert origin(pair) == "eu", "it remembers where it came from"
    assert accepts(pair, "us")
    assert uri(pair, "us") in file.read_text()
    with client(pair, "us") as new:
        assert new.get("kept") == b"x"
    if fate == "cut":
        assert "does answer" in done.err
        assert "ccr-avn switchover eu us" in done.err


def test_the_primarys_object_is_gone(make: Make) -> None:
    operator = paired(make(keep_orphans=True))
    operator.avn("service", "terminate", "eu", "-f")
    operator.ends(0, *FAIL_OVER)
    assert accepts(operator, "us")


def test_loss_has_a_flag_of_its_own(pair: Operator) -> None:
    pair.sandbox.servers.kill("eu")
    pair.ends(4, "failover", "us", "--yes", says=("possible loss", "--allow-data-loss"))
    pair.ends(0, "failover", "us", "--allow-data-loss", "--check")
    pair.ends(2, "failover", "us", "--allow-data-loss")
    assert not is_promoted(pair)


def test_what_is_no_replica_is_refused(pair: Operator) -> None:
    add_service(pair, "stranger", "startup-4", EU)
    before = pair.sandbox.changes()
    said = ("stranger", "ccr-avn failover us", "does not exist")
    for name, says in zip(("stranger", "eu", "nobody"), said, strict=True):
        done = pair.ends(4, "failover", name, "--allow-data-loss", "--yes", says=says)
        assert "retrying" not in done.err, "it is answered at once"
    assert pair.sandbox.changes() == before


def test_promoted_by_somebody_else_without_a_record_is_not_called_done(pair: Operator) -> None:
    """A fork looks the same: what can be proven is said, and how to connect to it."""
    pair.avn("service", "integration-delete", next(iter(pair.sandbox.platform.rows)))
    until(lambda: accepts(pair, "us"))
    done = pair.ends(4, *FAIL_OVER, "--json")
    assert json.loads(done.out)["changed"] is False
    assert "nothing records from which primary it was promoted" in done.err
    assert "ccr-avn endpoint us" in done.err


def test_the_platform_may_promote_by_itself(make: Make) -> None:
    operator = paired(make(auto_promote_seconds=1.0))
    operator.ends(0, "sandbox", "outage", "eu")
    done = operator.ccr(*FAIL_OVER)
    seen = "its integration is still listed" in done.err or "nothing records from which primary" in done.err
    assert done.code == (4 if seen else 0), done.err  # by how far it had come when it was looked at
    until(lambda: accepts(operator, "us"), "it to accept writes")
    assert len(deletions(operator)) <= 1


@pytest.mark.slow
def test_it_can_be_waited_for(make: Make) -> None:
    operator = paired(make(auto_promote_seconds=8.0))
    before = operator.sandbox.changes()
    operator.ends(0, "sandbox", "outage", "eu")
    operator.ends(0, *FAIL_OVER, "--wait-automatic", "30", says="Aiven promoted it")
    assert not [one for one in operator.sandbox.changes()[len(before) :] if one[0] == "DELETE"]
    late = paired(make())
    late.sandbox.servers.kill("eu")
    late.ends(0, *FAIL_OVER, "--wait-automatic", "0.5")
    assert is_promoted(late)


def test_a_fault_at_the_promotion_is_finished_by_the_same_command(pair: Operator) -> None:
    pair.sandbox.servers.kill("eu")
    pair.sandbox.faults.add(method="DELETE", path="/integration/", kind="close-before")
    pair.ends(13, *FAIL_OVER, "--call-timeout", "6", "--doubt-timeout", "2")
    pair.ends(0, *FAIL_OVER)
    assert accepts(pair, "us")


@pytest.mark.parametrize("ahead", [-5, 600])
def test_a_marker_of_watch_bounds_the_loss_unless_it_is_from_the_future(pair: Operator, ahead: int) -> None:
    marked = time.time() + ahead
    with client(pair, "eu") as old:
        old.hset(WATCH, "f1", f"{int(marked * 1000)}:7")
        old.wait(1, 2000)
    pair.sandbox.servers.kill("eu")
    refused = pair.ccr("failover", "us", "--yes")
    unknown = "possible loss: unknown (the last `watch` marker is from the future" in refused.err
    assert (refused.code, unknown) == (4, ahead > 0), refused.err
    if ahead < 0:
        said = pair.ends(0, *FAIL_OVER).out
        bound = re.search(r"possible loss +about ([\d.]+) s of writes \(an upper bound: ", said)
        assert bound, said
        assert float(bound[1]) >= -ahead
        assert marked + float(bound[1]) <= time.time()
