"""Plays histories by the thousand; prints what broke as a timeline, and which accident met which command at how many of its steps."""

import argparse
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count, islice

from tests.simulation.history import COMMANDS, FIRST, KINDS, draw
from tests.simulation.judge import Verdict, play, shrunk

AT_ONCE = 20  # histories that a process is given


def main() -> int:
    options = _options()
    only: frozenset[str] = options.only
    if options.seed is not None and options.minutes is None and options.histories is None:
        return _replay(options.seed, only)
    if options.first:
        return _first(range(options.seed or 0, (options.seed or 0) + (options.histories or 5000)), only)
    first = random.SystemRandom().randrange(10**9) if options.seed is None else options.seed
    until = time.monotonic() + (options.minutes or 1e9) * 60
    seeds: Iterator[int] = count(first)
    if options.histories or options.minutes is None:
        seeds = islice(seeds, options.histories or 1000)
    began, verdicts, failed = time.monotonic(), list[Verdict](), list[Verdict]()
    moments: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    hours, number = 0.0, 0
    with ProcessPoolExecutor(options.jobs) as pool:
        while time.monotonic() < until:
            some = list(islice(seeds, AT_ONCE * options.jobs * 2))
            if not some:
                break
            verdicts = list(pool.map(partial(_played, only), some, chunksize=AT_ONCE))
            for verdict in verdicts:
                number += 1
                hours += verdict.seconds / 3600
                if verdict.problems:
                    failed.append(verdict)
                    print(f"seed {verdict.script.seed}: BROKEN RULE {verdict.problems[0][:300]}", flush=True)
                for verb, accident, step in verdict.moments:
                    moments[accident, verb][step] += 1
    seconds = time.monotonic() - began
    print(_table(moments))
    print(
        f"{number} histories from seed {first} in {seconds:.0f} s ({number / seconds:.1f} a second, {options.jobs} processes): "
        f"{hours:,.0f} hours of simulated time; {len(failed)} broke a rule"
    )
    for verdict in failed[: options.show]:
        _replay(verdict.script.seed, only)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="where to begin; alone: replay this history, and tell it")
    parser.add_argument("--histories", type=int, help="how many (1000)")
    parser.add_argument("--minutes", type=float, help="go on for so long")
    parser.add_argument(
        "--only", type=_commands, default=frozenset(), help="what the first may be: drill,evacuate-auto"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--first", action="store_true", help="one after the other, and stop at the first that fails")
    parser.add_argument("--show", type=int, default=3, help="how many failures to shrink and to tell")
    return parser.parse_args()


def _commands(text: str) -> frozenset[str]:
    """Raises: ArgumentTypeError: one is none that a history begins with."""
    names = frozenset(filter(None, text.split(",")))
    if unknown := names - {*FIRST, *(COMMANDS[name][1][0] for name in FIRST)}:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(FIRST)}")
    return names


def _played(only: frozenset[str], seed: int) -> Verdict:
    verdict = play(draw(seed, only))
    verdict.story = []
    return verdict


def _first(seeds: range, only: frozenset[str]) -> int:
    for seed in seeds:
        if problems := _played(only, seed).problems:
            print(f"seed {seed}, after {seed - seeds.start + 1} histories: BROKEN RULE {problems[0][:300]}")
            return 1
    return 0


def _replay(seed: int, only: frozenset[str]) -> int:
    """Shrunk, where it fails."""
    verdict = play(draw(seed, only))
    if verdict.problems:
        rule = verdict.problems[0].partition(":")[0]
        smallest = shrunk(verdict.script, lambda one: any(text.startswith(f"{rule}:") for text in play(one).problems))
        verdict = play(smallest)
    script = verdict.script
    print(f"\nseed {seed}: {script.shape}, {'with' if script.writers else 'without'} writers")
    for event in script.events:
        when = f"at door {event.door}" if event.door else f"after {event.at:.0f} s"
        print(f"  {event.kind} {event.name}{f' by {event.who}' if event.who else ''}, {when}")
    print("\n".join(verdict.story))
    for problem in verdict.problems:
        print(f"BROKEN RULE {problem}")
    return 1 if verdict.problems else 0


def _table(moments: dict[tuple[str, str], Counter[str]]) -> str:
    """How often each accident met each verb, and at how many different steps of it."""
    verbs = sorted({words[0] for _, words in COMMANDS.values()} & {verb for _, verb in moments})
    rows = [["accident", *verbs]]
    for accident in KINDS:
        met = [moments.get((accident, verb), Counter()) for verb in verbs]
        rows.append([accident, *(f"{one.total()} at {len(one)}" if one else "-" for one in met)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


if __name__ == "__main__":
    sys.exit(main())
