"""The fence under writers at full speed: nothing gets through, and nothing held back is acknowledged late."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import valkey

from ccr_avn.errors import CcrError, Refused, TimedOut, Unreachable
from ccr_avn.procedures.gates.history import ONE_PING
from ccr_avn.valkey.fence import NAME, Fence, FenceRefused, lift
from ccr_avn.valkey.server_facts import caught_up, fetch_replication
from ccr_avn.valkey.writers import Snapshot
from tests.support.held import in_force, takes_a_write
from tests.support.servers import PASSWORD, Serve, Server, binaries
from tests.support.wait import until
from tests.support.writers import Load


@pytest.fixture
def primary(request: pytest.FixtureRequest, serve: Serve) -> Server:
    return serve("eu", binary=getattr(request, "param", None))


on_each = pytest.mark.parametrize("primary", binaries(), indirect=True)


def accepts(server: Server) -> bool:
    with valkey.Valkey(port=server.port, password=PASSWORD, socket_timeout=30) as client:
        return takes_a_write(client, server.admin)


def pauses(server: Server) -> int:
    """How often somebody has paused its clients."""
    return int(server.admin.info("commandstats").get("cmdstat_client|pause", {"calls": 0})["calls"])


class BlockedWriter:
    """Raw commands of which the fence holds one back; it ends with the last answer, or with "cut"."""

    def __init__(self, server: Server, *commands: tuple[str, ...], protocol: int = 2, subscribe: bool = False) -> None:
        self._client = valkey.Valkey(port=server.port, password=PASSWORD, protocol=protocol, socket_timeout=10)
        self._connection: Any = self._client.connection_pool.get_connection("any")
        self._answer: object = None
        if subscribe:
            self._connection.send_command("SUBSCRIBE", "news")
            self._connection.read_response(push_request=True)
        self._thread = threading.Thread(target=self._ask, args=(commands,), daemon=True)
        self._thread.start()

    def ended(self) -> object:
        self._thread.join(5)
        assert not self._thread.is_alive()
        return self._answer

    def close(self) -> None:
        with suppress(Exception):
            self._connection.disconnect()
        self._thread.join(5)

    def _ask(self, commands: tuple[tuple[str, ...], ...]) -> None:
        try:
            for words in commands:
                self._connection.send_command(*words)
            for _ in commands:
                self._answer = self._connection.read_response()
        except (valkey.exceptions.ConnectionError, OSError):
            self._answer = "cut"


HELD_BACK: dict[str, tuple[tuple[str, ...], ...]] = {
    "set": (("SET", "held:set", "x"),),
    "transaction": (("MULTI",), ("SET", "held:transaction", "x"), ("EXEC",)),
    "script": (("EVAL", "return redis.call('SET', KEYS[1], 'x')", "1", "held:script"),),
    "publish": (("PUBLISH", "news", "x"),),
    "consumer": (("BLPOP", "held:list", "0"),),
}


@pytest.fixture
def held_back(primary: Server) -> Iterator[list[BlockedWriter]]:
    made: list[BlockedWriter] = []
    yield made
    for one in made:
        one.close()


def hold_back_all(primary: Server, fence: Fence, made: list[BlockedWriter]) -> None:
    made.extend(BlockedWriter(primary, *commands) for commands in HELD_BACK.values())
    made.append(BlockedWriter(primary, ("SET", "held:subscriber", "x"), protocol=3, subscribe=True))
    until(lambda: len(fence.writers()) == len(made), "all writers to be held back")


@on_each
def test_what_may_write_is_held_back_and_then_cut_without_an_answer(
    primary: Server, held_back: list[BlockedWriter]
) -> None:
    with in_force(Fence(primary.endpoint(), "test", 10)) as fence:
        hold_back_all(primary, fence, held_back)
        held = fence.writers()
        assert {"(set)", "(eval)", "(publish)", "(blpop)"} <= {writer.split()[-1] for writer in held}
        assert all(writer.startswith("unnamed at 127.0.0.1:") for writer in held)
        assert not fence.release(cut=True)
    assert [one.ended() for one in held_back] == ["cut"] * len(held_back)
    assert primary.admin.keys("held:*") == []
    assert accepts(primary)


@on_each
def test_a_plain_release_lets_them_go_on(primary: Server, held_back: list[BlockedWriter]) -> None:
    with in_force(Fence(primary.endpoint(), "test", 10)) as fence:
        hold_back_all(primary, fence, held_back)
    primary.admin.rpush("held:list", "x")
    assert "cut" not in [one.ended() for one in held_back]
    assert primary.admin.exists("held:set", "held:transaction", "held:script", "held:subscriber") == 4


@on_each
@pytest.mark.parametrize("threads", ["1", "3"])
def test_under_load_nothing_is_acknowledged_that_is_not_on_the_replica(
    primary: Server, serve: Serve, threads: str
) -> None:
    """Twice: released, they go on; released after a promotion, not one late acknowledgement comes."""
    if threads != "1":
        primary = serve("threaded", "--io-threads", threads, binary=primary.binary)
    replica = serve("us", binary=primary.binary)
    replica.follow(primary)
    with Load(f"redis://default:{PASSWORD}@127.0.0.1:{primary.port}", pause=0) as load:
        with in_force(Fence(primary.endpoint(), "first", 10)) as first:
            standing = held_up(load, first)
        until(lambda: len(load.acknowledged) > standing + 100, "the writers to go on")
        fence = Fence(primary.endpoint(), "second", 3)
        fence.place()
        standing = held_up(load, fence)
        placed = pauses(primary)
        until(lambda: pauses(primary) > placed, "it to be renewed")
        before = fence.side()
        caught_up(before, replica.endpoint(), timeout=5)
        assert fence.holds()
        assert Snapshot.of(before).no_writes_until(fence.side())
        replica.promote()
        # From here on a new connection may write to the old primary: that is why a switchover shuts it first.
        for writer in load.writers:
            writer.stopping.set()
        assert not fence.release(cut=True)
    assert len(load.acknowledged) == standing
    assert set(load.acknowledged) <= {key.decode() for key in replica.admin.scan_iter("w*", count=10_000)}


def held_up(load: Load, fence: Fence) -> int:
    """How many were acknowledged, once each writer waits for its next answer: nothing is under way any more."""
    until(lambda: len(fence.writers()) == len(load.writers), "all to be held back")
    return len(load.acknowledged)


def test_it_runs_out_by_itself_where_nobody_renews(primary: Server) -> None:
    fence = Fence(primary.endpoint(), "test", 0.6)
    fence.place()
    fence.close()
    assert not accepts(primary)
    until(lambda: not fence.holds(), "it to run out")
    until(lambda: accepts(primary), "writes to go on")


def test_it_is_renewed_and_can_be_made_longer(primary: Server) -> None:
    with in_force(Fence(primary.endpoint(), "test", 3)) as fence:
        held = BlockedWriter(primary, ("SET", "held", "x"))
        placed = pauses(primary)
        until(lambda: pauses(primary) >= placed + 8, "four renewals, a second each: longer than the first pause")
        assert fence.holds()
        assert not accepts(primary)
        assert not primary.admin.exists("held"), "held back all the time"
        fence.lengthen(60)
        assert fence.ttl == 60
        fence.lengthen(1)
        assert fence.ttl == 60, "the server's pause is as long as it ever was"
    assert held.ended() == b"OK"
    assert accepts(primary)


def test_a_frozen_server_breaks_it_for_good(primary: Server) -> None:
    fence = Fence(primary.endpoint(timeout=0.2), "test", 0.5)
    fence.place()
    primary.freeze()
    until(lambda: not fence.holds(), "the renewals to fail")
    primary.thaw()
    until(lambda: "fence:test" in str(primary.clients()), "it to be back")
    renewed = pauses(primary)
    until(lambda: pauses(primary) > renewed, "it to be renewed again")
    assert not fence.holds(), "there was a time that no renewal covers"
    fence.release()


@on_each
@pytest.mark.parametrize("denied", ["-client|pause", "-client|list", "-info"])
def test_a_service_that_refuses_it_holds_nothing_back(primary: Server, denied: str) -> None:
    fence = Fence(primary.user("app", "~*", "&*", "+@all", denied), "test", 0.5)
    with pytest.raises(FenceRefused, match="refuses"):
        fence.place()
    fence.close()
    until(lambda: accepts(primary), "writes to go on")


def test_a_refused_kill_leaves_the_fence_standing(primary: Server) -> None:
    fence = Fence(primary.user("app", "~*", "&*", "+@all", "-client|kill"), "test", 10)
    fence.place()
    with pytest.raises(Unreachable) as caught:
        fence.release(cut=True)
    assert "lacks the permission" in caught.value.what or "refused" in caught.value.what
    assert not accepts(primary)
    primary.admin.client_unpause()


def test_a_fence_is_a_lock(primary: Server) -> None:
    one, two = Fence(primary.endpoint(), "one", 10), Fence(primary.endpoint(), "two", 10)
    one.place()
    with pytest.raises(Refused) as caught:
        two.place()
    assert "one" in caught.value.what
    assert not accepts(primary), "who goes no further does not lift what it found"
    assert one.holds()
    with pytest.raises(Refused) as lifted:
        lift(primary.endpoint(), disconnect=True)
    assert f"{NAME}one" in lifted.value.detail
    assert not one.release()
    assert accepts(primary)


def test_of_fences_that_are_placed_at_once_one_holds_at_most(primary: Server) -> None:
    held: list[Fence] = []
    line = threading.Barrier(6)

    def place(fence: Fence) -> None:
        line.wait()
        with suppress(Refused):
            fence.place()
            held.append(fence)

    for _ in range(10):
        with ThreadPoolExecutor(line.parties) as pool:
            list(pool.map(place, [Fence(primary.endpoint(), f"run-{number}", 10) for number in range(6)]))
        assert len(held) <= 1
        assert accepts(primary) is not bool(held), "nothing is left of those that went no further"
        for one in held:
            one.release()
        held.clear()


@pytest.mark.parametrize("disconnect", [True, False])
def test_by_hand(primary: Server, disconnect: bool) -> None:
    left = Fence(primary.endpoint(), "by-hand", 30)
    left.place()
    left.close()
    assert not accepts(primary)
    until(lambda: NAME not in str(primary.clients()), "its connection to be gone")
    lift(primary.endpoint(), disconnect=disconnect)
    assert accepts(primary)


@on_each
def test_pings_expiry_and_wait_are_no_writes(primary: Server, serve: Serve) -> None:
    """What moves the offset of a primary without writers; measured here again, on each server."""
    replica = serve("us", binary=primary.binary)
    replica.follow(primary)
    primary.admin.set("short", "x", px=300)
    before = fetch_replication(primary.endpoint())
    primary.admin.execute_command("WAIT", 2, 50)
    until(lambda: primary.admin.info("stats")["expired_keys"] == 1, "the key to expire")
    until(lambda: fetch_replication(primary.endpoint()).offset > before.offset + 37, "the offset to move")
    assert Snapshot.of(before).no_writes_until(fetch_replication(primary.endpoint()))
    for write in (("SET", "k", "v"), ("EVAL", "return redis.call('INCR', 'n')", "0"), ("XADD", "s", "*", "a", "b")):
        before = fetch_replication(primary.endpoint())
        primary.admin.execute_command(*write)
        assert not Snapshot.of(before).no_writes_until(fetch_replication(primary.endpoint())), write


@on_each
def test_under_a_fence_the_offset_moves_by_pings_alone(primary: Server, serve: Serve) -> None:
    replica = serve("us", binary=primary.binary)
    replica.follow(primary)
    primary.admin.set("short", "x", px=100)
    with in_force(Fence(primary.endpoint(), "test", 10)) as fence:
        before = fence.side()
        primary.admin.execute_command("WAIT", 2, 50)
        until(lambda: fence.side().offset > before.offset, "a ping")
        assert primary.admin.get("short") is None
        after = fence.side()
        assert (after.offset - before.offset) % ONE_PING == 0
        assert Snapshot.of(before).no_writes_until(after)


def test_catching_up(primary: Server, serve: Serve) -> None:
    replica = serve("us", binary=primary.binary)
    replica.follow(primary)
    primary.admin.set("k", "v")
    written = fetch_replication(primary.endpoint())
    caught_up(written, replica.endpoint(), timeout=5)
    assert fetch_replication(replica.endpoint()).offset >= written.offset
    with pytest.raises(TimedOut) as caught:
        caught_up(replace(written, offset=written.offset + 1000), replica.endpoint(), timeout=0.1)
    assert "bytes behind" in caught.value.what
    with pytest.raises(TimedOut, match="different replication ID"):
        caught_up(replace(written, replid="a" * 40), replica.endpoint(), timeout=0.1)
    replica.kill()
    with pytest.raises(CcrError):
        caught_up(written, replica.endpoint(), timeout=0.2)
