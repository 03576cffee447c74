"""Suspects on disk: a whole database of them must not cost memory."""

import struct
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ccr_avn.dataplane.compare.model import KINDS

if TYPE_CHECKING:
    from ccr_avn.dataplane.compare.model import Kind

_HEAD = struct.Struct("<IbI")


@dataclass(frozen=True, slots=True)
class Suspect:
    database: int
    key: bytes
    proven: "Kind | None" = None  # how it differed, at a moment when it was proven to


class Spool:
    """Written once, then read once. The file has no name, so nothing stays behind whatever happens."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="ccr-avn-")  # noqa: SIM115 - lives as long as the spool
        weakref.finalize(self, self._file.close)  # also when an error ends the comparison
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, suspect: Suspect) -> None:
        proven = KINDS.index(suspect.proven) if suspect.proven else -1
        self._file.write(_HEAD.pack(suspect.database, proven, len(suspect.key)) + suspect.key)
        self.count += 1

    def __iter__(self) -> Iterator[Suspect]:
        self._file.seek(0)
        while head := self._file.read(_HEAD.size):
            database, proven, size = _HEAD.unpack(head)
            yield Suspect(database, self._file.read(size), KINDS[proven] if proven >= 0 else None)

    def groups(self, most: int) -> Iterator[list[Suspect]]:
        """At most that many at a time, of one database each."""
        group: list[Suspect] = []
        for suspect in self:
            if group and (len(group) >= most or suspect.database != group[0].database):
                yield group
                group = []
            group.append(suspect)
        if group:
            yield group
