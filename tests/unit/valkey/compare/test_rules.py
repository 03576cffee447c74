"""What counts as a difference, what proves one, and what may be claimed."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.valkey.compare import CompareRequest, Difference, Kind
from ccr_avn.valkey.compare.engine import Suspects, Tally
from ccr_avn.valkey.compare.recheck import Recheck, Traits, differing
from ccr_avn.valkey.compare.scan import BATCH_BYTES, Batch, Unit, portions
from ccr_avn.valkey.compare.sides import Caught, LinkMonitor, Pace, Sides
from ccr_avn.valkey.compare.values import SMALL, Notes, canonical, differing_values
from ccr_avn.valkey.connect import Endpoint
from ccr_avn.valkey.replication import ReplicationInfo
from tests.support import factories

EXACT = Traits(level="keys", exact=True, volatile=frozenset())
VALUES = Traits(level="values", exact=True, volatile=frozenset())
OLD = Traits(level="keys", exact=False, volatile=frozenset())
CLOCK = [b"100", b"0"]
"""What TIME answers a hundred seconds after the epoch."""
END = Endpoint(service="eu", uri="valkey://127.0.0.1:1")
NOPERM, WRONGTYPE = Exception("NOPERM no"), Exception("WRONGTYPE of another type")


class FakeSide:
    """Answers message by message; each is the list of its replies."""

    endpoint = END

    def __init__(self, *messages: list[Any]) -> None:
        self.messages = list(messages)

    def use(self, database: int) -> None:
        """Whatever it is."""

    def ask(self, *_: Any) -> list[Any]:
        return self.messages.pop(0)


class Fakes(Sides):
    def __init__(self, primary: list[list[Any]], replica: list[list[Any]]) -> None:
        one: Any = FakeSide(*primary)
        other: Any = FakeSide(*replica)
        self.primary, self.replica = one, other

    def both(self, *commands: Any, also: Any = ()) -> tuple[list[Any], list[Any], list[Any]]:
        mine, theirs = self.primary.ask(*commands), self.replica.ask(*commands)
        return mine, theirs, self.replica.ask(*also) if also else []


# -- what counts


@pytest.mark.parametrize(
    ("of_type", "one", "other"),
    [
        (b"set", [b"a", b"b"], [b"b", b"a"]),
        (b"hash", [b"f", b"1", b"g", b"2"], [b"g", b"2", b"f", b"1"]),
        (b"zset", [b"m", b"0.1"], [b"m", b"0.10000000000000001"]),
        (b"ReJSON-RL", b"body" + b"0123456789", b"body" + b"9876543210"),
    ],
)
def test_equal_values_that_look_different(of_type: bytes, one: Any, other: Any) -> None:
    assert canonical(of_type, [one]) == canonical(of_type, [other])


@pytest.mark.parametrize(
    ("traits", "one", "other", "same"),
    [
        (EXACT, 5, 5, True),
        (EXACT, 5, 6, False),
        (OLD, 5000, 6999, True),
        (OLD, 5000, 7001, False),
        (OLD, -1, 100, False),
        (OLD, 100, -2, False),
    ],
)
def test_expiries(traits: Traits, one: int, other: int, same: bool) -> None:
    assert traits.same_expiry(one, other) is same


@pytest.mark.parametrize(
    ("mine", "theirs", "found"),
    [
        ([b"none", -2], [b"none", -2], {}),  # it ran out, or was deleted, since the first look
        ([b"string", -1], [b"none", -2], {b"k": "missing"}),
    ],
)
def test_a_key_that_is_gone_by_now_is_no_difference(mine: list[Any], theirs: list[Any], found: Any) -> None:
    sides = Fakes([[b"string", 100_001], [*mine, CLOCK]], [[b"none", -2], [*theirs, CLOCK]])
    assert differing(sides, EXACT, 0, [b"k"], Notes()) == found


@pytest.mark.parametrize(("at", "kind"), [(100_001, None), (200_000, "value")])
def test_a_key_that_runs_out_before_its_contents_are_read_is_no_difference(at: int, kind: Kind | None) -> None:
    """By the replica's clock, which is ahead: the primary has it still."""
    before: list[Any] = [b"string", at]
    primary: list[list[Any]] = [before, [[b"v"]], [b"string", at, CLOCK]]
    replica: list[list[Any]] = [before, [100], [[None]], [b"none", -2, [b"101", b"0"]]]
    assert differing(Fakes(primary, replica), VALUES, 0, [b"k"], Notes()) == ({b"k": kind} if kind else {})


def test_an_expiry_that_differs_stays_one_beside_contents_that_ran_out() -> None:
    """The replica's key is over, the primary's is not: it is about to be lost there."""
    primary: list[list[Any]] = [[b"string", 900_000], [[b"v"]], [b"string", 900_000, CLOCK]]
    replica: list[list[Any]] = [[b"string", 99_000], [100], [[b"w"]], [b"string", 99_000, CLOCK]]
    assert differing(Fakes(primary, replica), VALUES, 0, [b"k"], Notes()) == {b"k": "expiry"}


def test_a_refusal_is_no_difference_but_reported() -> None:
    notes = Notes()
    assert differing(Fakes([[NOPERM, -1]], [[NOPERM, -1]]), EXACT, 0, [b"k"], notes) == {}
    assert (notes.unreadable, notes.refusal) == (1, "NOPERM no")


# -- contents, by a script


def contents(
    of_type: bytes,
    size: Any,
    primary: list[list[Any]],
    replica: list[list[Any]],
    notes: Notes | None = None,
    **more: Any,
) -> Any:
    options = {"volatile": False, **more}
    found = differing_values(Fakes(primary, replica), {b"k": of_type}, {b"k": size}, notes or Notes(), **options)
    return found.get(b"k")


LARGE = SMALL + 1
STREAM = [[b"length", 1, b"last-generated-id", b"1-1"], []]


@pytest.mark.parametrize(
    ("of_type", "size", "primary", "replica", "kind"),
    [
        (b"ReJSON-RL", 100, [[b"body0123456789"]], [[b"b0dy0123456789"]], "value"),
        (b"ReJSON-RL", 100, [[b"body0123456789"]], [[b"body9876543210"]], None),
        (b"ReJSON-RL", LARGE, [[b"body0123456789"]], [[b"b0dy0123456789"]], "value"),
        (b"ReJSON-RL", LARGE, [[b"body0123456789"]], [[b"body9876543210"]], None),
        (b"string", 9, [[NOPERM], [b"v"]], [[NOPERM], [b"w"]], "value"),  # one of many may not be read: each by itself
        (b"string", 9, [[NOPERM], [NOPERM]], [[NOPERM], [NOPERM]], None),
        (b"string", NOPERM, [[2], [b"ab"]], [[2], [b"ax"]], "value"),  # of unknown size, so in pieces
        (b"string", None, [[2]], [[3]], "value"),
        (b"hash", 9, [[WRONGTYPE]], [[WRONGTYPE]], None),  # gone, or of another type by now
        (b"hash", 9, [[[b"f", b"v"]]], [[WRONGTYPE]], "value"),
        (b"hash", LARGE, [[WRONGTYPE]], [[1]], "value"),
        (b"hash", LARGE, [[1], [WRONGTYPE]], [[1]], "value"),
        (b"stream", LARGE, [STREAM, [WRONGTYPE]], [STREAM, [[]]], "value"),  # it changes while it is read
        (b"stream", LARGE, [STREAM, [[[b"1-1", [b"f"]]]]], [STREAM, [[[b"1-1", [b"g"]]]]], "value"),
        (b"stream", LARGE, [STREAM], [[WRONGTYPE, []]], "value"),
    ],
)
def test_contents(
    of_type: bytes, size: Any, primary: list[list[Any]], replica: list[list[Any]], kind: Kind | None
) -> None:
    notes = Notes()
    assert contents(of_type, size, primary, replica, notes) == kind
    assert notes.dumped == ({"ReJSON-RL"} if of_type == b"ReJSON-RL" else set())
    assert notes.unreadable == (primary[-1] == [NOPERM])


SOON = [b"5", b"0"]  # what TIME answers five seconds after the epoch


@pytest.mark.parametrize(
    ("mine", "theirs", "over"),
    [
        ([-2], [4000], True),  # hidden here, and over by this side's clock
        ([4000], [-2], True),
        ([-2], [-2], True),
        ([-2], [9000], False),
        ([-2], [-1], False),  # has no expiry: it is missing
        ([4000], [4000], False),  # on both sides: then its value differs
        (NOPERM, [4000], False),
    ],
)
@pytest.mark.parametrize("volatile", [True, False])
def test_a_hash_that_differs_by_fields_that_ran_out_is_equal(
    mine: Any, theirs: Any, over: bool, volatile: bool
) -> None:
    primary = [[[b"f", b"v"]], [mine, SOON], [[-1]]]
    replica = [[[b"f", b"v", b"g", b"w"]], [theirs, SOON], [[-1]]]
    notes = Notes()
    found = contents(b"hash", 100, primary, replica, notes, volatile=volatile)
    assert (found is None and not notes.unreadable) is (volatile and over)


@pytest.mark.parametrize(
    ("mine", "theirs", "kind"),
    [([-1, 5], [-1, 5], None), ([-1, 5], [-1, 6], "expiry"), ([-2, 5], [7, 5], None), (WRONGTYPE, [1], "expiry")],
)
def test_fields_that_expire_alike(mine: Any, theirs: Any, kind: Kind | None) -> None:
    value = [[b"f", b"v", b"g", b"w"]]
    assert contents(b"hash", 100, [value, [mine]], [value, [theirs]], volatile=True) == kind


# -- proof


def info(**facts: object) -> list[Any]:
    return ["".join(f"{name}:{value}\r\n" for name, value in facts.items()).encode()]


UP = info(role="master", master_replid="x", master_repl_offset=10)


@pytest.mark.parametrize(
    ("theirs", "caught"),
    [
        ({"role": "slave", "master_link_status": "up", "master_replid": "x", "slave_repl_offset": 10}, Caught.UP),
        ({"role": "slave", "master_link_status": "up", "master_replid": "y", "slave_repl_offset": 10}, Caught.ALONE),
        ({"role": "slave", "master_link_status": "down", "master_replid": "x"}, Caught.DOWN),
        ({"role": "slave", "master_link_status": "up", "master_replid": "x", "slave_repl_offset": 9}, Caught.BEHIND),
        ({"role": "master", "master_replid": "x"}, Caught.ALONE),
        ({"master_replid": "x"}, Caught.DOWN),
    ],
)
def test_what_a_look_at_the_replica_is_worth(theirs: dict[str, object], caught: Caught) -> None:
    assert Fakes([UP], [info(**theirs)]).catch_up(limit=-1) is caught
    assert caught.proves == (caught in (Caught.UP, Caught.ALONE))


@pytest.mark.parametrize(
    ("status", "executed", "proven"),
    [("up", [], "missing"), ("up", None, None), ("down", [], None)],
    ids=["nobody wrote", "somebody wrote", "the replica may not have it yet"],
)
def test_only_what_stood_still_in_front_of_a_replica_that_caught_up_is_proven(
    status: str, executed: Any, proven: Kind | None
) -> None:
    replica = info(role="slave", master_link_status=status, master_replid="x", slave_repl_offset=10)
    primary = [[b"OK"], UP, [b"string", -1], [b"string", -1, CLOCK], [b"OK", executed]]
    sides = Fakes(primary, [replica, [b"none", -2], [b"none", -2, CLOCK]])
    recheck = Recheck(sides, EXACT, Notes(), split_seconds=-1)
    recheck.begin_round()
    assert list(recheck.look(0, [b"k"])) == [(b"k", proven)]
    assert recheck.unproven_because == ("" if status == "up" else "the replica: its link is down")


# -- the verdict


def request(**options: Any) -> CompareRequest:
    return CompareRequest(primary=END, replica=END, level="values", **options)


UNIT = Unit(True, 0, 100)


@pytest.mark.parametrize(
    ("in_flight", "unreadable", "trouble", "verdict"),
    [
        (0, 0, None, "equal"),
        (0, 0, "the link dropped", "inconclusive"),
        (16, 0, None, "equal"),
        (17, 0, None, "inconclusive"),
        (0, 1, None, "inconclusive"),
    ],
)
def test_verdicts(in_flight: int, unreadable: int, trouble: str | None, verdict: str) -> None:
    with ExitStack() as stack:
        tally, left = Tally(request(), (UNIT,), stack), Suspects()
        tally.add(Batch(UNIT, [b"k"] * 100), [], Notes(unreadable=unreadable, refusal="NOPERM"))
        for number in range(in_flight):
            left.add((0, b"%d" % number, None))
        tally.judge(left, "")
        result = tally.result(trouble)
    assert (result.verdict, result.in_flight) == (verdict, in_flight)
    assert bool(result.reasons) == bool(in_flight or unreadable or trouble)
    assert all("0, 1, 2" in reason for reason in result.reasons) or not in_flight, "they are named"


def test_a_proven_difference_is_one_even_without_a_link(tmp_path: Path) -> None:
    kinds: tuple[Kind, ...] = ("missing", "extra", "type", "expiry", "value")
    left = Suspects()
    for kind in (*kinds, "missing"):  # SCAN may name a key twice
        left.add((0, kind.encode(), kind))
    with ExitStack() as stack:
        tally = Tally(request(differences_file=tmp_path / "all"), (), stack)
        tally.judge(left, "")
        result = tally.result("the link dropped")
    assert (result.verdict, result.differences, result.counts["missing"]) == ("different", 5, 1)
    assert result.examples == tuple(Difference(kind=kind, database=0, key=kind) for kind in kinds)
    assert len((tmp_path / "all").read_text().splitlines()) == 5


def test_progress_says_what_is_left() -> None:
    replicas = Unit(False, 0, 100)
    with ExitStack() as stack:
        tally = Tally(request(), (UNIT, replicas), stack)
        tally.expected_rate = 10
        assert (tally.progress("scan").rate, tally.progress("scan").remaining_seconds) == (10, 11.5)
        tally.add(Batch(UNIT, [b"k"] * 50), [b"a", b"b", b"c"], Notes())
        half = tally.progress("scan")
        assert (half.phase, half.keys, half.expected_keys) == ("scan", 50, 100)
        assert half.remaining_seconds > 50 / half.rate
        tally.add(Batch(UNIT, [b"k"] * 50), [], Notes())
        tally.add(Batch(replicas, [b"k"] * 100), [], Notes())
        assert tally.progress("round").remaining_seconds == 0.0
        sampled = Tally(request(sample=10), (UNIT,), stack)
        sampled.expected_rate = 10
        assert sampled.progress("scan").expected_keys == 10


# -- the link


def side(**facts: Any) -> ReplicationInfo:
    return factories.side(**{"role": "slave", "run_id": "f", **facts})


master = factories.side


@pytest.mark.parametrize(
    ("replica", "primary", "followers", "trouble"),
    [
        (side(), master(), {b"1"}, None),
        (side(role="master"), master(), {b"1"}, "follows no primary"),
        (side(link_status="down"), master(), {b"1"}, "was down"),
        (side(sync_in_progress=True), master(), {b"1"}, "first sync"),
        (side(), master(replid="y"), {b"1"}, "another primary"),
        (side(run_id="new"), master(), {b"1"}, "restarted"),
        (side(), master(run_id="new"), {b"1"}, "restarted"),
        (side(), master(), {b"2"}, "dropped in the meantime"),
    ],
)
def test_the_link(
    replica: ReplicationInfo, primary: ReplicationInfo, followers: set[bytes], trouble: str | None
) -> None:
    monitor = LinkMonitor(Fakes([], []))
    monitor._first, monitor._followers = (master(), side()), frozenset({b"1"})
    said = monitor._judge(primary, replica, frozenset(followers))
    assert (trouble in said) if trouble and said else said == trouble


# -- the pace


def test_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr("ccr_avn.clock.monotonic", lambda: now[0])
    monkeypatch.setattr("ccr_avn.clock.sleep", sleep)
    pace = Pace(100)
    for _ in range(5):
        pace.take(50)
    assert now[0] == pytest.approx(2.0)
    now[0] = 10
    pace.take(50)
    assert slept[-1] == 0
    Pace(0).take(10**9)
    assert now[0] == 10


def test_portions_leave_no_crumbs() -> None:
    keys = [b"%d" % number for number in range(1003)]
    assert list(portions(keys, 1000)) == [keys]
    assert [len(some) for some in portions(keys * 3, 1000)] == [1003, 1003, 1003]
    assert list(portions([], 1000)) == []
    giants = [bytes(BATCH_BYTES)] * 3
    assert [len(some) for some in portions(giants, 1000)] == [1, 1, 1]
