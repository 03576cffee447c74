"""Finds what to compare on both sides, and scans its keys in units of work, each key once."""

import os
import random
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ccr_avn.errors import Unreachable
from ccr_avn.valkey.compare.model import Traits
from ccr_avn.valkey.compare.protocol import EXPIRES_AT, EXPIRES_IN, TooLarge, Wire, bulk, pack, passes, streamed

if TYPE_CHECKING:
    from ccr_avn.valkey.compare.model import CompareRequest
    from ccr_avn.valkey.connect import Endpoint


BATCH = 1000
BATCH_BYTES = 1024 * 1024
"""Keys, and bytes of their names, that are compared at once."""


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


_CURSOR = struct.Struct("<IQ")


class SharedCursor:
    """The position of the scan: unit and SCAN cursor, in a pipe. Who reads it holds it, until writing it back."""

    def __init__(self, reading: int, writing: int) -> None:
        """Two file descriptors of one pipe."""
        self._reading = reading
        self._writing = writing

    def take(self) -> tuple[int, int]:
        number, cursor = _CURSOR.unpack(os.read(self._reading, _CURSOR.size))
        return number, cursor

    def give(self, unit: int, cursor: int) -> None:
        os.write(self._writing, _CURSOR.pack(unit, cursor))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """All keys of all units; several processes share one cursor."""

    units: tuple[Unit, ...]
    match: str | None
    batch: int

    def batches(self, wire_of: "Callable[[Unit], Wire]", shared: SharedCursor) -> Iterator[Batch]:
        """Wires must be free whenever this goes on."""
        count = self.batch if self.match is None else max(self.batch, 5 * BATCH)
        while True:
            number, cursor = shared.take()
            if number == len(self.units):
                shared.give(number, 0)
                return
            unit = self.units[number]
            cursor, keys = _scan(wire_of(unit), cursor, count, self.match)
            shared.give(*((number, cursor) if cursor else (number + 1, 0)))
            for some in portions(keys, self.batch):
                yield Batch(unit, some)

    def sample(self, wire_of: "Callable[[Unit], Wire]", wanted: int) -> Iterator[Batch]:
        """About that many keys of each side, at random; databases count by their size."""
        for on_primary in (True, False):
            units = [unit for unit in self.units if unit.on_primary == on_primary]
            if self.match is None:
                yield from self._random(wire_of, units, wanted)
            else:
                yield from self._reservoir(wire_of, units, wanted)

    def _random(self, wire_of: "Callable[[Unit], Wire]", units: list[Unit], wanted: int) -> Iterator[Batch]:
        total = sum(unit.keys for unit in units)
        for unit in units:
            left = min(-(-wanted * unit.keys // max(total, 1)), unit.keys * 4)
            while left > 0:
                asked = min(left, self.batch)
                answers = _random_keys(wire_of(unit), asked)
                left -= asked
                yield Batch(unit, list(dict.fromkeys(key for key in answers if isinstance(key, bytes))))

    def _reservoir(self, wire_of: "Callable[[Unit], Wire]", units: list[Unit], wanted: int) -> Iterator[Batch]:
        chosen: list[tuple[Unit, bytes]] = []
        for seen, found in enumerate(self._named(wire_of, units)):
            if len(chosen) < wanted:
                chosen.append(found)
            elif (place := random.randrange(seen + 1)) < wanted:  # noqa: S311 - a sample, not a secret
                chosen[place] = found
        for unit in units:
            for some in portions([key for owner, key in chosen if owner is unit], self.batch):
                yield Batch(unit, some)

    def _named(self, wire_of: "Callable[[Unit], Wire]", units: list[Unit]) -> Iterator[tuple[Unit, bytes]]:
        for unit in units:
            cursor, more = 0, True
            while more:
                cursor, keys = _scan(wire_of(unit), cursor, 5 * BATCH, self.match)
                more = cursor != 0
                yield from ((unit, key) for key in keys)


def portions(keys: list[bytes], most: int) -> Iterator[list[bytes]]:
    """About that many keys at a time, and not many bytes of names."""
    parts = max(1, round(len(keys) / most), -(-sum(map(len, keys)) // BATCH_BYTES))
    size = max(1, -(-len(keys) // parts))  # SCAN gives a few more than asked: no message for those alone
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _random_keys(wire: "Wire", many: int) -> list[Any]:
    ask = pack(b"RANDOMKEY")
    try:
        return wire.ask(*[ask] * many)
    except TooLarge:  # some names are giants: one at a time
        return [streamed(wire, ask) for _ in range(many)]


def _scan(wire: "Wire", cursor: int, count: int, match: str | None) -> tuple[int, list[bytes]]:
    words = () if match is None else (b"MATCH", match.encode(errors="surrogateescape"))
    ask = pack(b"SCAN", b"%d" % cursor, *words, b"COUNT", b"%d" % count)
    try:
        answer: Any = wire.ask(ask)[0]
    except TooLarge:
        if count > 1:
            return _scan(wire, cursor, max(1, count // 100), match)
        answer = streamed(wire, ask)  # one name alone is that long
    if not isinstance(answer, list):
        hint = "the user needs the right to SCAN"
        raise Unreachable("SCAN is refused", detail=str(answer), hint=hint, passing=passes(answer))
    return int(answer[0]), answer[1]


SLACK = 2000
"""Milliseconds by which two PTTL of equal keys may differ: they are read one after the other."""

VOLATILE_FIELDS = ("keys_with_volatile_items", "subexpiry")
"""Valkey's and Redis's word, in INFO keyspace, for the hashes whose fields expire by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    units: tuple[Unit, ...]
    traits: Traits


def capabilities(request: "CompareRequest") -> Capabilities:
    """Raises: Unreachable."""
    mine, theirs = (_ask(endpoint) for endpoint in (request.primary, request.replica))
    exact = mine.exact_expiry and theirs.exact_expiry
    volatile = {number for side in (mine, theirs) for number, facts in side.databases.items() if facts.volatile}
    numbers = sorted(mine.databases.keys() | theirs.databases.keys())
    if request.databases is not None:
        numbers = [number for number in numbers if number in request.databases]
    return Capabilities(
        units=tuple(
            Unit(on_primary, number, side.databases[number].keys)
            for on_primary, side in ((True, mine), (False, theirs))
            for number in numbers
            if number in side.databases
        ),
        traits=Traits(
            expiry=EXPIRES_AT if exact else EXPIRES_IN,
            expiry_slack=0 if exact else SLACK,
            volatile_fields=frozenset(volatile),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Database:
    keys: int
    volatile: bool


@dataclass(frozen=True, slots=True)
class _Side:
    databases: dict[int, _Database]
    exact_expiry: bool


def _ask(endpoint: "Endpoint") -> _Side:
    wire = Wire(endpoint)
    try:
        keyspace, expiry = wire.ask(pack(b"INFO", b"keyspace"), EXPIRES_AT.one(bulk(b"ccr-avn:none")))
    finally:
        wire.close()
    if not isinstance(keyspace, bytes):
        raise Unreachable(
            f"{endpoint.service}: INFO is refused",
            detail=str(keyspace),
            hint="comparing needs the right to read all keys, and to INFO",
            passing=passes(keyspace),
        )
    found = re.findall(r"^db(\d+):(.*?)\r?$", keyspace.decode(errors="replace"), re.MULTILINE)
    return _Side({int(number): _database(facts) for number, facts in found}, isinstance(expiry, int))


def _database(facts: str) -> _Database:
    pairs = dict(pair.split("=", 1) for pair in facts.split(",") if "=" in pair)
    return _Database(int(pairs.get("keys", 0)), any(pairs.get(name, "0") != "0" for name in VOLATILE_FIELDS))
