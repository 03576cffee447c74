"""What counts as a difference, and what may be claimed."""

from pathlib import Path
from typing import Any

import pytest
from libvalkey import ReplyError

from ccr_avn.valkey.compare import CompareRequest, Difference, workers
from ccr_avn.valkey.compare.large_values import MEMBERS, compare_members, expire_alike, ran_out
from ccr_avn.valkey.compare.link_monitor import LinkMonitor
from ccr_avn.valkey.compare.model import KINDS, Caught, Kind, Traits
from ccr_avn.valkey.compare.protocol import EXPIRES_IN, RateLimit, TooLarge
from ccr_avn.valkey.compare.recheck import Recheck, Suspect, SuspectFile, differing
from ccr_avn.valkey.compare.scan import BATCH_BYTES, Unit, portions
from ccr_avn.valkey.compare.small_values import MODERATE, Contents, Seen, Typed, canonical
from ccr_avn.valkey.compare.streams import compare_stream
from ccr_avn.valkey.compare.summary import Summary
from ccr_avn.valkey.compare.workers import Ended, Found, Moved, peak_memory
from ccr_avn.valkey.connect import Endpoint
from ccr_avn.valkey.replication import ReplicationInfo
from tests.support import factories
from tests.unit.valkey.compare.fakes import EXACT, pair

OLD = Traits(expiry=EXPIRES_IN, expiry_slack=2000, volatile_fields=frozenset())
CLOCK = ["*2\r\n$3\r\n100\r\n$1\r\n0"]
"""What TIME answers a hundred seconds after the epoch."""
END = Endpoint(service="eu", uri="valkey://127.0.0.1:1")


# -- what counts


@pytest.mark.parametrize(
    ("of_type", "one", "other"),
    [
        (b"set", [b"a", b"b"], [b"b", b"a"]),
        (b"hash", [b"f", b"1", b"g", b"2"], [b"g", b"2", b"f", b"1"]),
        (b"zset", [b"m", b"0.1"], [b"m", b"0.10000000000000001"]),
        (b"ReJSON-RL", b"body" + b"0123456789", b"body" + b"9876543210"),
        (b"string", None, None),
    ],
)
def test_equal_values_that_look_different(of_type: bytes, one: Any, other: Any) -> None:
    assert canonical(of_type, one) == canonical(of_type, other)


def test_order_counts_where_it_is_one() -> None:
    assert canonical(b"list", [b"a", b"b"]) != canonical(b"list", [b"b", b"a"])


def test_scores_are_compared_as_numbers() -> None:
    assert MEMBERS[b"zset"].same(b"0.1", b"0.10000000000000001")
    assert not MEMBERS[b"zset"].same(b"0.1", b"0.2")
    assert not MEMBERS[b"zset"].same(b"0.1", None)
    assert MEMBERS[b"set"].same(None, 1)
    assert not MEMBERS[b"set"].same(None, 0)


@pytest.mark.parametrize(
    ("traits", "one", "other", "same"),
    [
        (EXACT, 5, 5, True),
        (EXACT, 5, 6, False),
        (OLD, 5000, 6999, True),
        (OLD, 5000, 7001, False),
        (OLD, -1, 100, False),
        (OLD, 100, -2, False),
        (OLD, 100, ReplyError("NOPERM"), False),
    ],
)
def test_expiries(traits: Traits, one: Any, other: Any, same: bool) -> None:
    assert traits.same_expiry(one, other) is same


def looked(traits: Traits, mine: list[Any], theirs: list[Any]) -> tuple[dict[bytes, Kind], Seen]:
    """One key's type, expiry and the server's clock, on each side."""
    seen = Seen()
    one, other = ([[side[0]], [side[1]], CLOCK] for side in (mine, theirs))
    return differing(pair([one], [other], traits), "keys", 0, [b"k"], seen), seen


@pytest.mark.parametrize(
    ("traits", "mine", "theirs", "kind"),
    [
        (EXACT, ["+string", -1], ["+string", -1], None),
        (EXACT, ["+string", -1], ["+none", -2], "missing"),
        (EXACT, ["+none", -2], ["+hash", -1], "extra"),
        (EXACT, ["+none", -2], ["+none", -2], None),
        (EXACT, ["+string", -1], ["+hash", -1], "type"),
        (EXACT, ["+string", 5], ["+string", 6], "expiry"),
        (EXACT, ["+string", 99_999], ["+none", -2], None),  # the replica's clock says it is over
        (EXACT, ["+string", 100_001], ["+none", -2], "missing"),
        (EXACT, ["+none", -2], ["+string", 99_999], None),
        (OLD, ["+string", 900], ["+none", -2], None),
        (OLD, ["+string", 9000], ["+none", -2], "missing"),
        (OLD, ["+string", 9000], ["+string", 9500], None),
    ],
)
def test_kinds(traits: Traits, mine: list[Any], theirs: list[Any], kind: Kind | None) -> None:
    found, seen = looked(traits, mine, theirs)
    assert found == ({b"k": kind} if kind else {})
    assert seen.unreadable == 0


@pytest.mark.parametrize(("at", "kind"), [(100_001, None), (200_000, "value")])
def test_a_key_that_runs_out_before_its_contents_are_read_is_no_difference(at: int, kind: Kind | None) -> None:
    """By the replica's clock, which is ahead: the primary has it still."""
    later = ["*2\r\n$3\r\n101\r\n$1\r\n0"]
    before = [["+string"], [at], CLOCK]
    primary = [before, [[100]], [[b"v"]], [["+string"], [at], CLOCK]]
    replica = [before, [[b""]], [["+none"], [-2], later]]
    found = differing(pair(primary, replica), "values", 0, [b"k"], Seen())
    assert found == ({b"k": kind} if kind else {})


def test_a_refusal_is_no_difference_but_told() -> None:
    found, seen = looked(EXACT, ["-NOPERM no", -1], ["-NOPERM no", -1])
    assert (found, seen.unreadable, seen.refusal) == ({}, 1, "NOPERM no")


# -- contents, by a script


def test_a_modules_type_is_dumped_and_named() -> None:
    seen = Seen()
    both = pair([[[100]], [[b"body0123456789"]]], [[[b"b0dy0123456789"]]])
    assert Contents(both, seen).differing([Typed(b"k", b"ReJSON-RL")], 0) == {b"k": "value"}
    assert seen.dumped == {"ReJSON-RL"}


def test_a_big_one_of_a_modules_type_too() -> None:
    seen = Seen()
    both = pair([[[MODERATE + 1]], [[b"body0123456789"]]], [[[b"body9876543210"]]])
    assert Contents(both, seen).differing([Typed(b"k", b"MBbloom--")], 0) == {}
    assert seen.dumped == {"MBbloom--"}


def test_what_turns_out_too_large_is_read_in_pieces() -> None:
    both = pair(
        [[[100]], TooLarge(), [[1]], [[b"x"]]],
        [[[b"never looked at"]], [[1]], [[b"y"]]],
    )
    assert Contents(both, Seen()).differing([Typed(b"k", b"string")], 0) == {b"k": "value"}


def test_too_large_on_both_sides() -> None:
    both = pair([[[100]], TooLarge(), [[2]]], [TooLarge(), [[1]]])
    assert Contents(both, Seen()).differing([Typed(b"k", b"string")], 0) == {b"k": "value"}


def test_a_key_that_is_gone_or_of_another_type_by_now() -> None:
    assert Contents(pair([[[None]]], []), Seen()).differing([Typed(b"k", b"hash")], 0) == {}
    both = pair([[["-NOPERM MEMORY"]], [[1]]], [[["-WRONGTYPE x"]]])
    assert Contents(both, Seen()).differing([Typed(b"k", b"string")], 0) == {b"k": "value"}


def test_members_of_what_is_no_hash_any_more() -> None:
    assert compare_members(pair([[["-WRONGTYPE"]]], [[[1]]]), b"k", b"hash", 1, expiries=False) == "value"
    both = pair([[[1]], [["-WRONGTYPE"]]], [[[1]]])
    assert compare_members(both, b"k", b"hash", 1, expiries=False) == "value"


def test_giant_members_are_streamed() -> None:
    page = [b"0", [b"f", b"v", b"g", b"w"]]
    one = [[[2]], TooLarge(), [[page]], [[2]]]
    assert compare_members(pair(one, [[[2]], [[b"v"], [b"w"]], [[2]]]), b"k", b"hash", 1, expiries=False) is None
    gone = [[[2]], TooLarge(), [["-WRONGTYPE"]]]
    assert compare_members(pair(gone, [[[2]]]), b"k", b"hash", 1, expiries=False) == "value"


def test_a_stream_that_changes_while_it_is_read() -> None:
    facts = [b"length", 1, b"last-generated-id", b"1-1"]
    info = [[facts, []]]
    assert not compare_stream(pair([info, [["-WRONGTYPE"]]], [info, [[[]]]]), b"k", 1)
    assert not compare_stream(pair([info, [[[[b"1-1", [b"f"]]]]]], [info, [[[[b"1-1", [b"g"]]]]]]), b"k", 1)
    assert not compare_stream(pair([info], [[["-WRONGTYPE", []]]]), b"k", 1)


# -- proof


def info(**facts: object) -> list[list[Any]]:
    text = "".join(f"{name}:{value}\r\n" for name, value in facts.items())
    return [[text.encode()]]


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
    assert pair([UP], [info(**theirs)]).catch_up(limit=-1) is caught
    assert caught.proves == (caught in (Caught.UP, Caught.ALONE))


def one_suspect() -> SuspectFile:
    spool = SuspectFile()
    spool.add(Suspect(0, b"k"))
    return spool


def test_a_difference_that_the_replica_may_not_have_yet_is_not_proven() -> None:
    read = [[["+string"], [-1], CLOCK]]
    gone = [[["+none"], [-2], CLOCK]]
    down = info(role="slave", master_link_status="down", master_replid="x")
    both = pair([[["+OK"]], UP, *read, [["+OK", []]]], [down, *gone])
    settle = Recheck(both, "keys", Seen(), closer_seconds=1)
    assert [suspect.proven for suspect in settle.round(one_suspect())] == [None]
    assert settle.hindrance == "the replica: its link is down"


def test_spools_keep_what_is_proven_and_databases_apart() -> None:
    spool = SuspectFile()
    given = [Suspect(0, b"a"), Suspect(0, b"\r\n", "type"), Suspect(15, b"", "value"), Suspect(15, bytes(9))]
    for suspect in given:
        spool.add(suspect)
    assert list(spool) == given
    assert [len(group) for group in spool.groups(1)] == [1, 1, 1, 1]
    assert [len(group) for group in spool.groups(9)] == [2, 2]
    with spool:
        assert spool.count == 4
    assert list(SuspectFile().groups(9)) == []


# -- the verdict


def request(**options: Any) -> CompareRequest:
    return CompareRequest(primary=END, replica=END, level="values", **options)


def ended(**facts: Any) -> Ended:
    usual = {"reread": 0, "in_flight": 0, "in_flight_keys": (), "hindrance": None, "seen": Seen()}
    return Ended(**{**usual, "peak_memory_bytes": 1, **facts})


@pytest.mark.parametrize(
    ("report", "trouble", "verdict"),
    [
        (ended(), None, "equal"),
        (ended(), "the link dropped", "inconclusive"),
        (ended(in_flight=16, in_flight_keys=("hot",)), None, "equal"),
        (ended(in_flight=17, in_flight_keys=("hot",)), None, "inconclusive"),
        (ended(seen=Seen(unreadable=1, refusal="NOPERM")), None, "inconclusive"),
    ],
)
def test_verdicts(report: Ended, trouble: str | None, verdict: str) -> None:
    tally = Summary(request(), (Unit(True, 0, 100),))
    tally.add(0, report)
    result = tally.result(trouble, ())
    assert result.verdict == verdict
    assert bool(result.reasons) == (report != ended() or bool(trouble))


def test_a_proven_difference_is_one_even_without_a_link(tmp_path: Path) -> None:
    with Summary(request(differences_file=tmp_path / "all"), ()) as tally:
        found = tuple(Difference(kind=kind, database=0, key=kind) for kind in KINDS)
        tally.add(0, Found(found))
        tally.add(1, Found(found[:1]))  # two processes may meet the same key
        result = tally.result("the link dropped", (7,))
    assert (result.verdict, result.counts.total, result.counts.missing) == ("different", 5, 1)
    assert result.examples == found
    assert result.peak_memory_bytes == (7,)
    assert len((tmp_path / "all").read_text().splitlines()) == 5


def test_progress_tells_what_is_left() -> None:
    tally = Summary(request(), (Unit(True, 0, 100), Unit(False, 0, 100)))
    assert tally.progress(None).remaining_seconds is None
    tally.add(0, Moved(keys=50, replica_keys=0, suspects=3, phase="scan"))
    half = tally.progress("trouble")
    assert (half.phase, half.keys, half.expected_keys, half.suspects, half.trouble) == ("scan", 50, 100, 3, "trouble")
    assert half.remaining_seconds is not None
    assert half.remaining_seconds > half.seconds
    tally.add(0, Moved(keys=50, replica_keys=100, suspects=3, phase="round"))
    assert (tally.progress(None).phase, tally.progress(None).remaining_seconds) == ("round", 0.0)
    sampled = Summary(request(sample=10), (Unit(True, 0, 100),))
    assert sampled.progress(None).expected_keys == 10


# -- the link


def side(**facts: Any) -> ReplicationInfo:
    return factories.side(**{"role": "slave", **facts})


@pytest.mark.parametrize(
    ("replica", "primary", "followers", "trouble"),
    [
        (side(), side(role="master"), {"1"}, None),
        (side(role="master"), side(role="master"), {"1"}, "follows no primary"),
        (side(link_status="down"), side(), {"1"}, "was down"),
        (side(sync_in_progress=True), side(), {"1"}, "first sync"),
        (side(), side(replid="y"), {"1"}, "another primary"),
        (side(run_id="new"), side(), {"1"}, "restarted"),
        (side(), side(run_id="new"), {"1"}, "restarted"),
        (side(), side(), {"2"}, "dropped in the meantime"),
    ],
)
def test_the_link(
    monkeypatch: pytest.MonkeyPatch,
    replica: ReplicationInfo,
    primary: ReplicationInfo,
    followers: set[str],
    trouble: str | None,
) -> None:
    monkeypatch.setattr("ccr_avn.valkey.connect.connect", lambda *_, **__: None)
    tether = LinkMonitor(request())
    tether._first, tether._followers = (side(), side()), frozenset({"1"})
    told = tether._judge(primary, replica, frozenset(followers))
    assert (trouble in told) if trouble and told else told == trouble


# -- small things


def test_the_pace() -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = RateLimit(100, clock=lambda: now[0], sleep=sleep)
    for _ in range(5):
        pace.take(50)
    assert now[0] == pytest.approx(2.0)
    now[0] = 10
    pace.take(50)
    assert len(slept) == 4
    free = RateLimit(0, clock=lambda: 0, sleep=slept.append)
    free.take(10**9)
    assert len(slept) == 4
    assert (free.batch(1000), pace.batch(1000), RateLimit(10**6).batch(1000)) == (1000, 5, 1000)


def test_portions_leave_no_crumbs() -> None:
    keys = [b"%d" % number for number in range(1003)]
    assert list(portions(keys, 1000)) == [keys]
    assert [len(some) for some in portions(keys * 3, 1000)] == [1003, 1003, 1003]
    assert list(portions([], 1000)) == []
    giants = [bytes(BATCH_BYTES)] * 3
    assert [len(some) for some in portions(giants, 1000)] == [1, 1, 1]


def test_memory_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert peak_memory() > 2**20
    monkeypatch.setattr(workers, "STATUS", Path("/nowhere"))
    assert peak_memory() > 2**20
    monkeypatch.setattr("sys.platform", "darwin")
    assert peak_memory() > 2**10


def test_the_package_is_cheap_to_import() -> None:
    import ast

    import ccr_avn.valkey.compare as package

    for path in Path(str(package.__file__)).parent.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"valkey", "libvalkey"}, path


# -- fields that expire


SOON = ["*2\r\n$1\r\n5\r\n$1\r\n0"]  # what TIME answers five seconds after the epoch


@pytest.mark.parametrize(
    ("mine", "theirs", "over"),
    [
        ([-2], [4000], True),  # hidden here, and over by this side's clock
        ([4000], [-2], True),
        ([-2], [-2], True),
        ([-2], [9000], False),
        ([-2], [-1], False),  # has no expiry: it is missing
        ([4000], [4000], False),  # on both sides: then its value differs
        ([-2, -2], [4000, 9000], False),
    ],
)
def test_fields_that_ran_out(mine: list[int], theirs: list[int], over: bool) -> None:
    names = [b"f", b"g"][: len(mine)]
    assert ran_out(pair([[[mine], SOON]], [[[theirs], SOON]]), b"k", names) is over
    assert not ran_out(pair([[["-NOPERM"], SOON]], [[[theirs], SOON]]), b"k", names)


@pytest.mark.parametrize(
    ("mine", "theirs", "alike"),
    [([-1, 5], [-1, 5], True), ([-1, 5], [-1, 6], False), ([-2, 5], [7, 5], True), ("-NOPERM", [1], False)],
)
def test_fields_that_expire_alike(mine: Any, theirs: Any, alike: bool) -> None:
    assert expire_alike(pair([[[mine]]], [[[theirs]]]), b"k", [b"f", b"g"]) is alike


@pytest.mark.parametrize("volatile", [True, False])
def test_a_hash_that_differs_by_what_ran_out_is_equal(volatile: bool) -> None:
    traits = Traits(expiry=EXPIRES_IN, expiry_slack=0, volatile_fields=frozenset({0} if volatile else ()))
    values = [b"f", b"v"], [b"f", b"v", b"g", b"w"]
    both = pair(
        [[[100]], [[values[0]]], [[[-2]], SOON], [[[-1]]]],
        [[[values[1]]], [[[4000]], SOON], [[[-1]]]],
        traits,
    )
    found = Contents(both, Seen()).differing([Typed(b"k", b"hash")], 0)
    assert found == ({} if volatile else {b"k": "value"})
