"""Runs one comparison: every batch once, over one connection to each side or several; then what differs, in rounds."""

import json
import os
import pickle
import re
import resource
import sys
import tempfile
import weakref
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from queue import SimpleQueue
from typing import Literal, TextIO, get_args

from ccr_avn import clock
from ccr_avn.errors import UsageError
from ccr_avn.valkey.compare import CompareRequest, Comparison, Difference, Kind, Progress, brief, escaped
from ccr_avn.valkey.compare.recheck import GROUP, Recheck, Traits, differing
from ccr_avn.valkey.compare.scan import BATCH, Batch, Unit, batches, survey
from ccr_avn.valkey.compare.sides import LinkMonitor, Pace, Sides
from ccr_avn.valkey.compare.values import Notes

FEW_KEYS = 30_000  # for which more connections are not worth it
AHEAD = 3  # batches for each connection that wait for it
EXAMPLES = 20  # differences that the result itself names
FEW_IN_FLIGHT = 16  # keys, or one in a thousand: a key that is written all the time can't be compared
LOOKED_UP = 0.15  # what looking up a key of the replica costs, beside comparing one of the primary
COMMANDS, ROUND_TRIPS, FASTEST = 2.1, 3, 100_000
"""What is expected before the first key: commands a key, round trips a batch, and keys a second at the most."""

Suspect = tuple[int, bytes, Kind | None]  # database, key, and how it differed when it was proven to


class Suspects:
    """In a file without a name: they may be as many as the keys, and nothing stays behind whatever happens."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this
        weakref.finalize(self, self._file.close)
        self.count = 0

    def add(self, suspect: Suspect) -> None:
        pickle.dump(suspect, self._file)
        self.count += 1

    def __iter__(self) -> Iterator[Suspect]:
        self._file.seek(0)
        for _ in range(self.count):
            yield pickle.load(self._file)  # noqa: S301 - our own

    def groups(self) -> Iterator[tuple[int, dict[bytes, Kind | None]]]:
        """Some at a time, of one database each."""
        for database, all_of_it in groupby(self, key=itemgetter(0)):
            while group := {key: proven for _, key, proven in islice(all_of_it, GROUP)}:
                yield database, group


Compared = tuple[Batch, list[bytes], Notes]  # which of its keys differ at first sight, and what is to be reported


def compare_batch(sides: Sides, traits: Traits, batch: Batch) -> Compared:
    notes, unit = Notes(), batch.unit
    if unit.on_primary:
        return batch, list(differing(sides, traits, unit.database, batch.keys, notes)), notes
    sides.use(unit.database)
    return batch, _only_on_replica(sides, list(dict.fromkeys(batch.keys)), notes), notes


def _only_on_replica(sides: Sides, keys: list[bytes], notes: Notes) -> list[bytes]:
    """Which of the replica's keys the primary lacks: one question for all, as a rule."""
    if not keys or sides.primary.ask(("EXISTS", *keys)) == [len(keys)]:
        return []
    found = []
    for key, answer in zip(keys, sides.primary.ask(*(("EXISTS", key) for key in keys)), strict=True):
        if isinstance(answer, Exception):
            notes.refused(answer)
        elif not answer:
            found.append(key)
    return found


def _on_several(
    request: CompareRequest, pace: Pace, traits: Traits, todo: Iterator[Batch]
) -> Generator[Compared, None, None]:
    """``request.jobs`` connections to each side, a thread for each."""
    free: SimpleQueue[Sides] = SimpleQueue()

    def work(batch: Batch) -> Compared:
        sides = free.get()
        try:
            return compare_batch(sides, traits, batch)
        finally:
            free.put(sides)

    with ThreadPoolExecutor(request.jobs) as pool, ExitStack() as stack:  # closed first: nobody waits for a server then
        waiting: deque[Future[Compared]] = deque()
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        for made in [pool.submit(Sides, request.primary, request.replica, pace) for _ in range(request.jobs)]:
            free.put(stack.enter_context(closing(made.result())))
        for batch in todo:
            waiting.append(pool.submit(work, batch))
            if len(waiting) > request.jobs * AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def compare(request: CompareRequest, progress: Callable[[Progress], None] | None = None) -> Comparison:
    """Scan both sides, read again what differs until it is proven or resolved, and give the verdict.

    Nothing is written to either side, and no key counts as used because of it (CLIENT NO-TOUCH, where known).

    Raises:
        Unreachable: a side can't be asked, or stopped answering.
        UsageError: the differences can't be written where they were asked for.
    """
    with ExitStack() as stack:
        pace = Pace(request.max_operations)
        sides = stack.enter_context(closing(Sides(request.primary, request.replica, pace)))
        units, traits = survey(sides, request)
        link = LinkMonitor(sides) if request.require_link else None
        tally = Tally(request, units, stack)
        size = max(5, min(BATCH, request.max_operations // 20 or BATCH))
        few = request.sample is not None or sum(unit.keys for unit in units) < FEW_KEYS
        jobs = 1 if few else request.jobs
        tally.expected_rate = _expected_rate(request, sides, size * jobs)

        def tick(phase: Literal["scan", "round"] = "scan", *, now: bool = False) -> None:
            if link:
                link.read(now=now)
            if progress:
                progress(tally.progress(phase))

        tick(now=True)
        todo = batches(sides, units, request, size)
        several = stack.enter_context(closing(_on_several(request, pace, traits, todo))) if jobs > 1 else None
        for compared in several or (compare_batch(sides, traits, one) for one in todo):
            tally.add(*compared)
            tick()
        left, unproven_because = _rounds(request, sides, traits, tally, lambda: tick("round"))
        tally.judge(left, unproven_because)
        return tally.result(link.read(now=True) if link else None)


def _expected_rate(request: CompareRequest, sides: Sides, keys_at_once: int) -> float:
    """Keys a second, as far as the distance and the limit allow."""
    began = clock.monotonic()
    sides.both(("PING",))
    round_trip = clock.monotonic() - began
    limit = request.max_operations / COMMANDS if request.max_operations else FASTEST
    return min(limit, FASTEST, keys_at_once / (ROUND_TRIPS * round_trip))


def _rounds(
    request: CompareRequest, sides: Sides, traits: Traits, tally: "Tally", tick: Callable[[], None]
) -> tuple[Suspects, str]:
    """What still differs after them, and why that could not be proven."""
    left = tally.suspects
    recheck = Recheck(sides, traits, tally.notes, split_seconds=max(2.0, 5 * request.round_interval))
    for number in range(request.rounds if left.count else 0):
        if number and left.count:
            clock.sleep(request.round_interval)
        recheck.begin_round()
        before, left = left, Suspects()
        for database, group in before.groups():
            for key, proven in recheck.look(database, list(group)):
                left.add((database, key, proven or group[key]))
            tick()
    return left, recheck.unproven_because


class Tally:
    """The result so far. ``expected_rate``: keys a second, before the first was compared."""

    def __init__(self, request: CompareRequest, units: tuple[Unit, ...], stack: ExitStack) -> None:
        """Raises: UsageError."""
        self._request, self._began, self.expected_rate = request, clock.monotonic(), 0.0
        most = request.sample or sys.maxsize
        self._expected = [min(most, sum(one.keys for one in units if one.on_primary is side)) for side in (True, False)]
        self._keys = Counter[bool]()
        self.suspects, self.notes = Suspects(), Notes()
        self._kinds, self._examples = Counter[Kind](), list[Difference]()
        self._in_flight, self._in_flight_named, self._unproven_because = 0, list[str](), ""
        self._file = stack.enter_context(_opened(request.differences_file)) if request.differences_file else None

    def add(self, batch: Batch, suspects: list[bytes], notes: Notes) -> None:
        self._keys[batch.unit.on_primary] += len(batch.keys)
        self.notes.add(notes)
        for key in suspects:
            self.suspects.add((batch.unit.database, key, None))

    def progress(self, phase: Literal["scan", "round"]) -> Progress:
        seconds, done = clock.monotonic() - self._began, self._keys[True] + LOOKED_UP * self._keys[False]
        left = max(0.0, self._expected[0] + LOOKED_UP * self._expected[1] - done)
        return Progress(
            phase=phase,
            keys=self._keys[True],
            expected_keys=self._expected[0],
            rate=self._keys[True] / seconds if done else self.expected_rate,
            remaining_seconds=left / (done / seconds if done else self.expected_rate),
        )

    def judge(self, left: Suspects, unproven_because: str) -> None:
        """What is proven counts; the rest never stood still. SCAN may name a key twice."""
        self._unproven_because = unproven_because
        known: set[int] = set()
        for database, key, kind in left:
            if (identity := hash((database, key))) in known:
                continue
            known.add(identity)
            if kind is None:
                self._in_flight += 1
                self._in_flight_named += [escaped(key)] if len(self._in_flight_named) < 3 else []
                continue
            difference = Difference(kind=kind, database=database, key=escaped(key))
            self._kinds[kind] += 1
            self._examples += [difference] if len(self._examples) < EXAMPLES else []
            if self._file:
                self._file.write(json.dumps(asdict(difference)) + "\n")

    def result(self, trouble: str | None) -> Comparison:
        seconds, counts = clock.monotonic() - self._began, {kind: self._kinds[kind] for kind in get_args(Kind)}
        too_many = self._in_flight > max(FEW_IN_FLIGHT, self._keys[True] // 1000)
        unproven = trouble or self.notes.unreadable or too_many
        return Comparison(
            verdict="different" if any(counts.values()) else "inconclusive" if unproven else "equal",
            level=self._request.level,
            keys=self._keys[True],
            replica_keys=self._keys[False],
            counts=counts,
            examples=tuple(self._examples),
            reasons=tuple(self._reasons(trouble)),
            reread=self.suspects.count,
            in_flight=self._in_flight,
            unreadable=self.notes.unreadable,
            compared_by_dump=tuple(sorted(self.notes.dumped)),
            rate=self._keys[True] / max(seconds, 1e-9),
            seconds=seconds,
            peak_memory_bytes=(_peak_memory(),),
        )

    def _reasons(self, trouble: str | None) -> Iterator[str]:
        if trouble:
            yield trouble
        if self._in_flight:
            why = "were written to all the time and could not be compared"
            if self._unproven_because:
                why = f"differ, but the replica may only be behind ({self._unproven_because})"
            yield f"{self._in_flight} keys {why}, such as {', '.join(map(brief, self._in_flight_named))}"
        if self.notes.unreadable:
            yield f"{self.notes.unreadable} keys can't be read ({self.notes.refusal})"


def _peak_memory() -> int:
    """Of this program alone, in bytes: on Linux getrusage also counts what the process was before it was started."""
    with suppress(OSError):
        if found := re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text()):
            return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _opened(path: Path) -> TextIO:
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii")
    except OSError as error:
        hint = "choose another --differences FILE"
        raise UsageError(f"the differences can't be written to {path}", detail=str(error), hint=hint) from None
