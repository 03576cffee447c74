"""Adds up the reports of the processes, and writes the differences to a file if requested."""

import json
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ccr_avn.errors import UsageError
from ccr_avn.valkey.compare.model import EXAMPLES, Comparison, Counts, Progress, brief
from ccr_avn.valkey.compare.workers import Ended, Found, Moved, Report

if TYPE_CHECKING:
    from typing import TextIO

    from ccr_avn.valkey.compare.model import CompareRequest, Difference, Verdict
    from ccr_avn.valkey.compare.scan import Unit


FEW_IN_FLIGHT = 16
"""So many keys may be in flight, or one in a thousand: a key that is written all the time can't be compared."""

REMEMBERED = 100_000
"""Differences deduplicated by key; SCAN may name a key twice, and two processes may find it."""

LOOKED_UP = 0.15
"""What finding a key of the replica costs, beside comparing one of the primary."""


class Summary:
    """The result so far. Entered, it holds the file of differences open."""

    def __init__(self, request: "CompareRequest", units: "tuple[Unit, ...]") -> None:
        self._request = request
        self._expected = [sum(unit.keys for unit in units if unit.on_primary is side) for side in (True, False)]
        if request.sample is not None:
            self._expected = [min(request.sample, each) for each in self._expected]
        self._began = time.monotonic()
        self._keys = self._replica_keys = self._rounds = 0
        self._suspects: dict[int, int] = {}
        self._kinds: Counter[str] = Counter()
        self._examples: list[Difference] = []
        self._known: set[int] = set()
        self._ended: list[Ended] = []
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        if self._request.differences_file:
            self._file = _opened(self._request.differences_file)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def add(self, worker: int, report: Report) -> None:
        if isinstance(report, Moved):
            self._keys += report.keys
            self._replica_keys += report.replica_keys
            self._suspects[worker] = report.suspects
            self._rounds += report.phase == "round"
        elif isinstance(report, Found):
            for difference in report.differences:
                self._difference(difference)
        elif isinstance(report, Ended):
            self._ended.append(report)

    def progress(self, trouble: str | None) -> Progress:
        seconds = time.monotonic() - self._began
        done = self._keys + LOOKED_UP * self._replica_keys
        everything = self._expected[0] + LOOKED_UP * self._expected[1]
        return Progress(
            phase="round" if self._rounds else "scan",
            keys=self._keys,
            replica_keys=self._replica_keys,
            expected_keys=self._expected[0],
            suspects=sum(self._suspects.values()),
            rate=self._keys / max(seconds, 1e-9),
            seconds=seconds,
            remaining_seconds=max(0.0, everything - done) * seconds / done if done else None,
            trouble=trouble,
        )

    def result(self, trouble: str | None, other_peaks: tuple[int, ...]) -> Comparison:
        seconds = time.monotonic() - self._began
        in_flight = sum(ended.in_flight for ended in self._ended)
        unreadable = sum(ended.seen.unreadable for ended in self._ended)
        counts = Counts(**self._kinds)
        verdict, reasons = self._verdict(counts, in_flight, unreadable, trouble)
        return Comparison(
            verdict=verdict,
            level=self._request.level,
            keys=self._keys,
            replica_keys=self._replica_keys,
            counts=counts,
            examples=tuple(self._examples),
            reasons=tuple(reasons),
            reread=sum(ended.reread for ended in self._ended),
            in_flight=in_flight,
            unreadable=unreadable,
            compared_by_dump=tuple(sorted(set().union(*(ended.seen.dumped for ended in self._ended)))),
            rate=self._keys / max(seconds, 1e-9),
            seconds=seconds,
            peak_memory_bytes=(*other_peaks, *(ended.peak_memory_bytes for ended in self._ended)),
        )

    def _verdict(
        self, counts: Counts, in_flight: int, unreadable: int, trouble: str | None
    ) -> "tuple[Verdict, list[str]]":
        reasons = [trouble] if trouble else []
        if in_flight:
            reasons.append(self._in_flight_words(in_flight))
        if unreadable:
            refusal = next(ended.seen.refusal for ended in self._ended if ended.seen.unreadable)
            reasons.append(f"{unreadable} keys can't be read ({refusal})")
        if counts.total:
            return "different", reasons
        too_many = in_flight > max(FEW_IN_FLIGHT, self._keys // 1000)
        return "inconclusive" if trouble or unreadable or too_many else "equal", reasons

    def _in_flight_words(self, in_flight: int) -> str:
        names = [name for ended in self._ended for name in ended.in_flight_keys][:3]
        hindrance = next((ended.hindrance for ended in self._ended if ended.hindrance), None)
        why = (
            f"differ, but the replica may only be behind ({hindrance})"
            if hindrance
            else "were written to all the time and could not be compared"
        )
        return f"{in_flight} keys {why}, such as {', '.join(map(brief, names))}"

    def _difference(self, difference: "Difference") -> None:
        identity = hash((difference.database, difference.key))
        if identity in self._known:
            return
        if len(self._known) < REMEMBERED:
            self._known.add(identity)
        self._kinds[difference.kind] += 1
        if len(self._examples) < EXAMPLES:
            self._examples.append(difference)
        if self._file:
            self._file.write(json.dumps(asdict(difference)) + "\n")


def _opened(path: Path) -> "TextIO":
    import os

    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii")
    except OSError as error:
        raise UsageError(
            f"the differences can't be written to {path}",
            detail=str(error),
            hint="choose another --differences FILE",
        ) from None
