"""What there is to compare, and the names of its keys, a batch at a time."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from ccr_avn.valkey.compare import CompareRequest
from ccr_avn.valkey.compare.recheck import Traits
from ccr_avn.valkey.compare.sides import Side, Sides, refused
from ccr_avn.valkey.replication import databases, info_fields

BATCH, BATCH_BYTES = 1000, 1024 * 1024  # keys, and bytes of their names, that are compared at once
AT_ONCE = 5  # batches that one SCAN names: each SCAN is a round trip


@dataclass(frozen=True, slots=True)
class Unit:
    """One database of one side, to be walked from end to end."""

    on_primary: bool
    database: int
    keys: int  # about that many


@dataclass(frozen=True, slots=True)
class Batch:
    unit: Unit
    keys: list[bytes]


def survey(sides: Sides, request: CompareRequest) -> tuple[tuple[Unit, ...], Traits]:
    """Raises: Unreachable."""
    mine, theirs = _databases(sides.primary), _databases(sides.replica)
    wanted = [number for number in sorted(mine | theirs) if request.databases is None or number in request.databases]
    units = [
        Unit(on_primary, number, int(side[number]["keys"]))
        for on_primary, side in ((True, mine), (False, theirs))
        for number in wanted
        if number in side
    ]
    marks = ("keys_with_volatile_items", "subexpiry")  # Valkey's and Redis's word for hashes whose fields expire
    every = [*mine.items(), *theirs.items()]
    volatile = {number for number, facts in every if any(facts.get(mark, "0") != "0" for mark in marks)}
    one, other, _ = sides.both(("PEXPIRETIME", "ccr-avn:none"))
    exact = all(isinstance(reply, int) for reply in (*one, *other))
    return tuple(units), Traits(level=request.level, exact=exact, volatile=frozenset(volatile))


def _databases(side: Side) -> dict[int, dict[str, str]]:
    """By number, what INFO says of each."""
    (answer,) = side.ask(("INFO", "keyspace"))
    if isinstance(answer, Exception):
        hint = "comparing needs the right to read all keys, and to INFO"
        raise refused(f"{side.endpoint.service}: INFO is refused", answer, hint)
    return databases(info_fields(answer))


def batches(sides: Sides, units: tuple[Unit, ...], request: CompareRequest, size: int) -> Iterator[Batch]:
    """All keys, ``size`` at a time; with a sample that many of each side, at random, where databases count by their size.

    Both sides in turn: the primary's keys are what the limit slows down, the replica's are not.
    """
    take = _all if request.sample is None else _random if request.match is None else _reservoir
    mine, theirs = ([unit for unit in units if unit.on_primary is side] for side in (True, False))
    for two in zip_longest(take(sides, mine, request, size), take(sides, theirs, request, size)):
        yield from (batch for batch in two if batch)


def _all(sides: Sides, units: list[Unit], request: CompareRequest, size: int) -> Iterator[Batch]:
    return (Batch(unit, keys) for unit in units for keys in _scan(sides, unit, request.match, size))


def _scan(sides: Sides, unit: Unit, match: str | None, size: int) -> Iterator[list[bytes]]:
    side, cursor = sides.primary if unit.on_primary else sides.replica, b"0"
    words = () if match is None else ("MATCH", match.encode(errors="surrogateescape"))
    while True:
        side.use(unit.database)  # the comparison in between may have used another
        (answer,) = side.ask(("SCAN", cursor, *words, "COUNT", str(AT_ONCE * size)))
        if isinstance(answer, Exception):
            raise refused("SCAN is refused", answer, "the user needs the right to SCAN")
        cursor, keys = answer
        yield from portions(keys, size)
        if cursor == b"0":
            return


def _random(sides: Sides, units: list[Unit], request: CompareRequest, size: int) -> Iterator[Batch]:
    total, wanted = max(1, sum(unit.keys for unit in units)), request.sample or 0
    for unit in units:
        side = sides.primary if unit.on_primary else sides.replica
        left = min(-(-wanted * unit.keys // total), unit.keys * 4)
        while left > 0:
            side.use(unit.database)
            answers = side.ask(*[("RANDOMKEY",)] * min(left, size))
            left -= len(answers)
            yield Batch(unit, list(dict.fromkeys(key for key in answers if isinstance(key, bytes))))


def _reservoir(sides: Sides, units: list[Unit], request: CompareRequest, size: int) -> Iterator[Batch]:
    chosen: list[tuple[Unit, bytes]] = []
    named = ((unit, key) for unit in units for keys in _scan(sides, unit, request.match, size) for key in keys)
    for seen, found in enumerate(named):
        if len(chosen) < (request.sample or 0):
            chosen.append(found)
        elif (place := random.randrange(seen + 1)) < len(chosen):  # noqa: S311 - a sample, not a secret
            chosen[place] = found
    for unit in units:
        yield from (Batch(unit, some) for some in portions([key for owner, key in chosen if owner is unit], size))


def portions(keys: list[bytes], most: int) -> Iterator[list[bytes]]:
    """About that many keys at a time, and not many bytes of names."""
    parts = max(1, round(len(keys) / most), -(-sum(map(len, keys)) // BATCH_BYTES))
    size = max(1, -(-len(keys) // parts))  # SCAN gives a few more than asked: no message for those alone
    return (keys[start : start + size] for start in range(0, len(keys), size))
