"""Does the new primary carry the data, has the old one anything of its own, is it closed: as plain values."""

from typing import Any

import pytest

from ccr_avn.procedures.gates.history import Audit, Expected, audit, judge_audit, judge_carries, lacks
from ccr_avn.procedures.gates.settings import NOBODY, networks
from ccr_avn.procedures.old_primary import QUIET_LOOKS, Closing, filter_command, judge_closed
from ccr_avn.procedures.setting import Setting
from ccr_avn.valkey.diagnose import Admission
from ccr_avn.valkey.replication import NO_HISTORY
from ccr_avn.valkey.writers import RemainingClients, Snapshot
from tests.support.factories import side

OLD, NEW = "a" * 40, "b" * 40


def promoted(**more: Any) -> Any:
    return side(**{"replid": NEW, "replid2": OLD, "second_offset": 101, "offset": 150, **more})


@pytest.mark.parametrize(
    ("new", "expected", "verdict"),
    [
        (promoted(), Expected(ids=(OLD,), offset=100), "go"),
        (promoted(), Expected(ids=(OLD,), offset=101), "stop"),
        (promoted(), Expected(ids=(NEW,), offset=100), "stop"),
        (promoted(replid2=NO_HISTORY, second_offset=-1), Expected(ids=(OLD,), offset=100), "stop"),
        (promoted(replid2=NO_HISTORY, second_offset=-1), Expected(ids=(NO_HISTORY,)), "stop"),
        (promoted(), Expected(ids=(NEW, OLD)), "go"),
        (promoted(replid2="c" * 40), Expected(ids=(OLD,)), "stop"),  # another master, or failed over since
        (promoted(second_offset=50), Expected(ids=(OLD,), offset=100), "stop"),
        (promoted(), Expected(ids=(OLD,), old_server="x"), "go"),
    ],
)
def test_a_new_primary_must_carry_what_it_followed(new: Any, expected: Expected, verdict: str) -> None:
    finding = judge_carries(new, expected, "eu", "us")
    assert finding.verdict == verdict
    if verdict == "stop":
        assert ("only eu has it" in finding.reason) == (expected.offset is not None or not new.has_foreign_history)
        assert "do not terminate eu" in finding.hint


def test_the_old_primary_is_not_the_new_one() -> None:
    """It shares the history that it took over itself, once."""
    found = judge_carries(promoted(), Expected(ids=(OLD,), old_server="n"), "eu", "us")
    assert (found.verdict, "the same server" in found.reason) == ("stop", True)


def test_where_nothing_is_known_that_is_said() -> None:
    assert judge_carries(promoted(), Expected(), "eu", "us").warnings


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, ""),
        ({"role": "master"}, "is not a replica"),
        ({"loading": True}, "resync"),
        ({"sync_in_progress": True}, "resync"),
        ({"link_status": "down"}, "link"),
        ({"replid": NEW}, "different replication ID"),
        ({"offset": 99}, "1 bytes behind"),
    ],
)
def test_a_replica_that_lacks_anything_is_not_promoted(more: dict[str, Any], told: str) -> None:
    replica = side(**{"role": "slave", "link_status": "up", "replid": OLD, "offset": 100, **more})
    found = lacks(replica, OLD, 100, "us")
    assert told in found
    assert bool(found) == bool(told)


def old(**more: Any) -> Any:
    return side(**{"replid": OLD, "offset": 100, "changes": 7, "last_save": 1, "connected_replicas": 0, **more})


@pytest.mark.parametrize(
    ("now", "noted", "ahead"),
    [
        (old(), None, Audit(ahead_bytes=0)),
        (old(offset=114), None, Audit(ahead_bytes=0)),
        (old(offset=133), None, Audit(ahead_bytes=33)),
        (old(offset=156, connected_replicas=1), None, Audit(ahead_bytes=56)),  # four pings, or two SADD k v
        (old(offset=156), None, Audit(ahead_bytes=56)),
        (old(offset=156, connected_replicas=1), old(), Audit(ahead_bytes=0, ahead_writes=0)),
        (old(offset=156, changes=9), old(), Audit(ahead_bytes=56, ahead_writes=2)),
        (old(offset=156, changes=1, last_save=2), old(), Audit(ahead_bytes=56)),
        (old(offset=156, run_id="e" * 40), old(), Audit(ahead_bytes=56)),
        (old(replid="c" * 40, offset=156), old(), Audit(ahead_bytes=0, ahead_writes=0)),
        (old(replid="c" * 40, replid2=OLD, offset=133), None, Audit(ahead_bytes=33)),
        (old(replid="c" * 40), None, None),
    ],
)
def test_what_only_the_old_primary_has(now: Any, noted: Any, ahead: Audit | None) -> None:
    """Exact where the count from before is known; else more than one ping is data, and what can't be told is no zero."""
    found = audit(now, promoted(), noted)
    if ahead is None:
        assert found.ahead_bytes is None
        assert found.why
        assert judge_audit(found, "eu").warnings
    else:
        assert found == ahead
        assert bool(judge_audit(found, "eu").warnings) == bool(ahead.ahead_bytes)


def test_an_old_primary_that_can_not_be_asked_is_no_zero() -> None:
    finding = judge_audit(Audit(ahead_bytes=None, why="no answer", lapsed=True), "eu")
    assert finding.warnings
    assert "not comparable" in finding.reason
    assert finding.facts["lapsed"]


OPEN, SHUT, UNKNOWN = (Admission(state=state, why=state) for state in ("open", "closed", "unknown"))
NO_CLIENT = RemainingClients(cut=False)


@pytest.mark.parametrize(
    ("admission", "left", "more", "verdict"),
    [
        (OPEN, NO_CLIENT, {}, "wait"),
        (SHUT, RemainingClients(cut=False, clients=("app at 1 (user default)",)), {}, "wait"),
        (SHUT, NO_CLIENT, {"quiet": QUIET_LOOKS - 1}, "wait"),
        (SHUT, NO_CLIENT, {"quiet": QUIET_LOOKS}, "go"),
        (SHUT, RemainingClients(cut=True), {}, "go"),
        (SHUT, None, {"trouble": "it does not answer"}, "wait"),
        (SHUT, None, {}, "go"),
        (UNKNOWN, RemainingClients(cut=True), {}, "wait"),
        (UNKNOWN, None, {}, "wait"),
    ],
)
def test_closed_means_that_nobody_is_left_and_nobody_comes(
    admission: Admission, left: RemainingClients | None, more: dict[str, Any], verdict: str
) -> None:
    found = judge_closed(Closing(admission=admission, left=left, **more), "eu", "`power-off`")
    assert found.verdict == verdict
    unseen = verdict == "go" and left is None
    assert [("can't be seen from here" in one) for one in found.warnings] == [True] * unseen


def test_a_filter_that_is_too_long_for_a_command_is_cut_to_fit() -> None:
    """Objects with descriptions are the same filter without them."""
    objects = [{"network": "10.0.0.0/8", "description": None}, {"network": "192.0.2.7/32", "description": "it's me"}]
    assert networks(objects) == ["10.0.0.0/8", "192.0.2.7/32"]
    many = [{"network": f"10.{n // 256}.{n % 256}.0/24", "description": "d" * 200} for n in range(2000)]
    command = filter_command(Setting(), "eu", many)
    assert len(command) < 131_072
    assert "10.7.207.0/24" in command
    assert "description" not in command
    note = filter_command(Setting(), "eu", [{"network": f"2001:db8::{n:x}/128"} for n in range(8000)])
    assert note.startswith("#")
    assert networks([{"network": NOBODY, "description": "closed"}]) == [NOBODY]
    assert "0.0.0.0/0" in filter_command(Setting(), "eu", None)


def test_a_token_carries_what_tells_of_writes() -> None:
    noted = Snapshot.of(old())
    assert Snapshot.parse(noted.token) == noted
    assert noted.no_writes_until(old())
    assert not noted.no_writes_until(old(changes=8))
    assert not noted.no_writes_until(old(role="slave"))
    for odd in ("", "what", "a.b.c.d.e.f", noted.token + ".1"):
        with pytest.raises(ValueError):  # noqa: PT011 (whatever it says, the command says its own)
            Snapshot.parse(odd)
