"""Hands out keys to compare: one cursor for all processes, so that each key is named once and none is shipped."""

import os
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ccr_avn.dataplane.compare.commands import pack
from ccr_avn.dataplane.compare.flow import passes, streamed
from ccr_avn.dataplane.compare.wire import TooLarge
from ccr_avn.errors import Unreachable

if TYPE_CHECKING:
    from ccr_avn.dataplane.compare.wire import Wire

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


_BATON = struct.Struct("<IQ")


class Baton:
    """Where the walk stands: unit and SCAN cursor, in a pipe. Who reads it holds it, until writing it back."""

    def __init__(self, reading: int, writing: int) -> None:
        """Two file descriptors of one pipe."""
        self._reading = reading
        self._writing = writing

    def take(self) -> tuple[int, int]:
        number, cursor = _BATON.unpack(os.read(self._reading, _BATON.size))
        return number, cursor

    def give(self, unit: int, cursor: int) -> None:
        os.write(self._writing, _BATON.pack(unit, cursor))


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """All keys of all units; several processes walk the same baton together."""

    units: tuple[Unit, ...]
    match: str | None
    batch: int

    def batches(self, wire_of: "Callable[[Unit], Wire]", baton: Baton) -> Iterator[Batch]:
        """Wires must be free whenever this goes on."""
        count = self.batch if self.match is None else max(self.batch, 5 * BATCH)
        while True:
            number, cursor = baton.take()
            if number == len(self.units):
                baton.give(number, 0)
                return
            unit = self.units[number]
            cursor, keys = _scan(wire_of(unit), cursor, count, self.match)
            baton.give(*((number, cursor) if cursor else (number + 1, 0)))
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
