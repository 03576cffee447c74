"""The model of Valkey against Valkey itself: what the servers of a pair say of each other, whatever happens to them."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

from ccr_avn.valkey.replication import NO_HISTORY
from tests.simulation.sides import Client, Model, Real, Side, read


def _ask(side: Side, server: str, *words: str) -> Any:
    client = Client(side, server)
    try:
        return client.ask(*words)
    finally:
        client.socket.close()


Act = Callable[[Side], object]


def _writes(*keys: str, to: str = "eu") -> Act:
    return lambda side: [_ask(side, to, "SET", key, "x") for key in keys]


def _hash(value: str) -> Act:
    return lambda side: _ask(side, "eu", "HSET", "dropped", "f", value)


def _fleet(act: str, server: str) -> Act:
    return lambda side: getattr(side.fleet, act)(server)


def _side(act: str, *words: str) -> Act:
    return lambda side: getattr(side, act)(*words)


def _together(replica: str, primary: str) -> Act:
    """Whether it follows, and has all that the other had."""

    def look(side: Side) -> bool:
        there, here = read(side, replica), read(side, primary)
        return there.link_status == "up" and (there.replid, there.offset) == (here.replid, here.offset)

    return look


def _is_primary(server: str) -> Act:
    return lambda side: read(side, server).role == "master"


def _cut(side: Side) -> bool:
    return read(side, "us").link_status == "down"


TOGETHER = _together("us", "eu")
LIFE: tuple[tuple[str, Act, tuple[Act, ...]], ...] = (
    ("a primary alone", bool, (_side("start", "eu"),)),
    ("writes to it", bool, (_writes("one", "two"),)),
    ("its restart", bool, (_fleet("restart", "eu"),)),
    ("a replica that has not reached it", _cut, (_fleet("cut_replication", "eu"), _side("start", "us", "eu"))),
    ("the first copy", TOGETHER, (_fleet("heal", "eu"),)),
    ("writes", TOGETHER, (_writes("one", "three"),)),
    ("a link cut", _cut, (_fleet("cut_replication", "us"),)),
    ("a write meanwhile", bool, (_writes("four"),)),
    ("it is back", TOGETHER, (_fleet("heal", "us"),)),
    ("a restart of the replica", TOGETHER, (_fleet("restart", "us"),)),
    ("a restart of the primary", TOGETHER, (_fleet("restart", "eu"),)),
    ("a second one", TOGETHER, (_fleet("restart", "eu"),)),
    ("a write that the replica lacks", _cut, (_fleet("cut_replication", "us"), _writes("five"))),
    ("a restart with it", TOGETHER, (_fleet("restart", "eu"), _fleet("heal", "us"))),
    ("a hash", TOGETHER, (_hash("1"),)),
    ("a command refused", TOGETHER, (_side("drop_one", "us"), _hash("2"))),
    ("a second replica", _together("ap", "eu"), (_side("start", "ap", "eu"),)),
    ("a promotion", _is_primary("us"), (_fleet("promote", "us"),)),
    ("a write to each", _together("ap", "eu"), (_writes("six"), _writes("seven", to="us"))),
    ("the other is promoted", _is_primary("ap"), (_fleet("promote", "ap"),)),
    ("the old primary is behind it", _together("eu", "ap"), (_side("follow", "eu", "ap"),)),
    ("a write to the heir", _together("eu", "ap"), (_writes("eight", to="ap"),)),
    ("a restart of the heir", _together("eu", "ap"), (_fleet("restart", "ap"),)),
    ("one that is ahead", _together("us", "ap"), (_side("follow", "us", "ap"),)),
)
"""What happens one after the other: what is waited for, and what is done."""


class Names(dict[str, str]):
    """Each replication ID and process by the order in which it was seen."""

    def __missing__(self, key: str) -> str:
        self[key] = f"{len(self)}"
        return self[key]


def _facts(side: Side, server: str, names: Names) -> dict[str, Any]:
    found = read(side, server)
    return {
        "role": found.role,
        "process": names[found.run_id],
        "histories": (names[found.replid], found.replid2 == NO_HISTORY or names[found.replid2]),
        "since the history before": found.replid2 != NO_HISTORY and found.offset >= found.second_offset,
        "replicas": found.connected_replicas,
        "backlog": found.backlog,
        "link": (found.link_status, found.link_down_seconds is None),
        "heard of": found.last_io_seconds is not None,
        "has a copy": found.has_a_copy,
        "changes": server == "eu" and found.changes,  # a first copy is one, or none, as it is loaded
        "refused": found.rejected,
        "full syncs": found.full_syncs,
        "keys": found.keyspace,
        "rest": (found.loading, found.libraries, found.paused_seconds, found.sync_in_progress),
    }


def _life(side: Side) -> list[tuple[str, str, dict[str, Any]]]:
    names, found = Names(), []
    for what, over, acts in LIFE:
        for act in acts:
            act(side)
        side.wait(over, what, side)
        there = [name for name in ("eu", "us", "ap") if side.has(name)]
        found += [(what, name, _facts(side, name, names)) for name in there]
    return found


def test_the_life_of_a_pair_is_as_it_is_with_valkey() -> None:
    with closing(Model()) as model, closing(Real()) as real:
        assert _life(model) == _life(real)


def test_a_link_survives_a_primary_that_hangs(real: Real, model: Model) -> None:
    def seen(side: Side) -> list[tuple[str | None, int]]:
        _writes("k")(side)
        side.wait(lambda: read(side, "us").last_io_seconds == 0, "a word")
        side.fleet.freeze("eu")
        side.wait(lambda: (read(side, "us").last_io_seconds or 0) > 0, "silence")
        found = [read(side, "us")]
        side.fleet.heal("eu")
        side.wait(TOGETHER, "all is as before", side)
        found += [read(side, "us"), read(side, "eu")]
        return [(one.link_status, one.full_syncs) for one in found]

    assert seen(model) == seen(real)
