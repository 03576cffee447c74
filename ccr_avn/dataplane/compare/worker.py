"""What one process does: its share of the walk, then the rounds over its own suspects."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ccr_avn.dataplane.compare.memory import peak_memory
from ccr_avn.dataplane.compare.model import CompareRequest, Difference, escaped
from ccr_avn.dataplane.compare.pace import Pace
from ccr_avn.dataplane.compare.pair import Pair, Traits
from ccr_avn.dataplane.compare.settle import Settle
from ccr_avn.dataplane.compare.spool import Spool, Suspect
from ccr_avn.dataplane.compare.sweep import Sweep
from ccr_avn.dataplane.compare.walk import BATCH, Batch, Baton, Unit, Walk
from ccr_avn.dataplane.compare.whole import Seen
from ccr_avn.dataplane.compare.wire import Wire

if TYPE_CHECKING:
    from ccr_avn.errors import CcrError

REPORT_EVERY = 0.2
"""Seconds between two reports of progress."""

NAMED = 3
"""Keys in flight that are told by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    request: CompareRequest
    units: tuple[Unit, ...]
    traits: Traits
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was done since the last report."""

    keys: int
    replica_keys: int
    suspects: int  # all of this process
    phase: Literal["scan", "round"]


@dataclass(frozen=True, slots=True)
class Found:
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The last word of a process."""

    reread: int
    in_flight: int
    in_flight_keys: tuple[str, ...]
    hindrance: str | None
    seen: Seen
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Failed:
    error: "CcrError"


Report = Moved | Found | Ended | Failed


class Worker:
    """``wait`` sleeps for that many seconds; ``report`` takes what is to be told."""

    def __init__(self, task: Task, report: Callable[[Report], None], wait: Callable[[float], None]) -> None:
        self._task = task
        self._report = report
        self._wait = wait
        self._seen = Seen()
        self._moved = Moved(keys=0, replica_keys=0, suspects=0, phase="scan")
        self._reported = time.monotonic()

    def run(self, baton: Baton) -> None:
        """Raises: Unreachable."""
        request = self._task.request
        pace = Pace(request.max_operations / self._task.jobs)
        pair = Pair(Wire(request.primary, pace), Wire(request.replica), self._task.traits)
        settle = Settle(pair, request.level, self._seen, closer_seconds=max(2.0, 5 * request.round_interval))
        try:
            suspects = self._sweep(pair, baton, pace.batch(BATCH))
            reread = suspects.count
            for number in range(request.rounds if reread else 0):
                self._told(suspects=suspects.count, phase="round", now=True)
                if number and suspects.count:
                    self._wait(request.round_interval)
                suspects = settle.round(suspects)
        finally:
            pair.close()
        in_flight, names = self._tell(suspects)
        self._report(
            Ended(
                reread=reread,
                in_flight=in_flight,
                in_flight_keys=names,
                hindrance=settle.hindrance,
                seen=self._seen,
                peak_memory_bytes=peak_memory(),
            )
        )

    def _sweep(self, pair: Pair, baton: Baton, batch: int) -> Spool:
        request = self._task.request
        suspects = Spool()
        sweep = Sweep(pair, request.level, self._seen)
        walk = Walk(units=self._task.units, match=request.match, batch=batch)

        def wire_of(unit: Unit) -> Wire:
            sweep.use(unit.database)
            return pair.primary if unit.on_primary else pair.replica

        sampled = request.sample is not None
        batches = walk.sample(wire_of, request.sample or 0) if sampled else walk.batches(wire_of, baton)
        for some in batches:
            _look(sweep, some)
            self._keep(sweep, suspects, some)
        sweep.finish()
        self._keep(sweep, suspects, None)
        return suspects

    def _keep(self, sweep: Sweep, suspects: Spool, batch: Batch | None) -> None:
        for database, key in sweep.take():
            suspects.add(Suspect(database, key))
        done = len(batch.keys) if batch else 0
        on_primary = bool(batch and batch.unit.on_primary)
        self._moved = replace(
            self._moved,
            keys=self._moved.keys + (done if on_primary else 0),
            replica_keys=self._moved.replica_keys + (0 if on_primary else done),
        )
        self._told(suspects=suspects.count, phase="scan", now=batch is None)

    def _told(self, *, suspects: int, phase: Literal["scan", "round"], now: bool) -> None:
        if now or time.monotonic() - self._reported > REPORT_EVERY:
            self._report(replace(self._moved, suspects=suspects, phase=phase))
            self._moved = replace(self._moved, keys=0, replica_keys=0)
            self._reported = time.monotonic()

    def _tell(self, suspects: Spool) -> tuple[int, tuple[str, ...]]:
        """Report what is proven; give how many are not, and the names of some."""
        in_flight = 0
        names: list[str] = []
        with suspects:
            for group in suspects.groups(BATCH):
                proven = tuple(
                    Difference(kind=one.proven, database=one.database, key=escaped(one.key))
                    for one in group
                    if one.proven
                )
                if proven:
                    self._report(Found(proven))
                others = [one for one in group if not one.proven]
                in_flight += len(others)
                names += [escaped(one.key) for one in others[: NAMED - len(names)]]
        return in_flight, tuple(names)


def _look(sweep: Sweep, batch: Batch) -> None:
    sweep.use(batch.unit.database)
    if batch.unit.on_primary:
        sweep.primary_keys(batch.keys)
    else:
        sweep.replica_keys(batch.keys)
