"""`ccr-avn verify`."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ccr_avn import clock
from ccr_avn.cli.conduct import conduct
from ccr_avn.cli.options import Asking, How, refuse_unused
from ccr_avn.options import Json, flag
from ccr_avn.output import console
from ccr_avn.procedures.verify import Level, Verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccr_avn.valkey.compare import Progress

EVERY = 2.0
"""Seconds between two lines on how a comparison goes on."""

OF_KEYS = ("match", "sample", "db", "jobs", "max_ops", "rounds", "round_interval", "differences", "unlinked")
"""The options that only a comparison of keys needs."""


def must_fit(context: typer.Context, level: Level, *of_keys: str) -> None:
    """``of_keys``: the options that only a comparison of keys needs.

    Raises:
        UsageError: an option was given that does nothing at this level.
    """
    beside = f"--level {level}"
    if level == "link":
        refuse_unused(context, beside, "--level marker, keys or values", "samples")
    if level in ("link", "marker"):
        refuse_unused(context, beside, "--level keys or values", *of_keys, use="use --level values")


def verify(
    *,
    context: typer.Context,
    verb: Verify,
    quiet: Annotated[bool, flag("Print only warnings and errors; the exit code says the rest.")] = False,
    json: Json = False,
    asking: Asking,
) -> None:
    """Prove that REPLICA replicates PRIMARY. Exit 6 if it does not, or if that can't be proven.

    --match, --sample, --db, --jobs, --max-ops, --rounds, --round-interval and --differences are for --level keys and
    values.

    Examples:
      ccr-avn verify eu us
      ccr-avn verify eu us --level values --differences differences.jsonl
      ccr-avn verify eu us --level keys --sample 10000 --quiet
    """
    must_fit(context, verb.level, *OF_KEYS)
    if verb.unlinked or verb.proves_values:
        beside = "--unlinked" if verb.unlinked else "a comparison of all values"
        where = "replicated pairs and --level link, marker or keys"
        refuse_unused(context, beside, where, "allow_rejected_commands")
    asking.preload()
    verb = replace(asking.settled(verb), progress=verb.progress if quiet else _shown())
    conduct(verb, How(json=json, quiet=quiet), asking)


def _shown() -> "Callable[[Progress], None]":
    """How far a comparison is, with rate and remaining time, now and then."""
    last = [clock.monotonic()]

    def show(progress: "Progress") -> None:
        """Before it begins, what is expected, where that is worth a line."""
        begins = not progress.keys and progress.remaining_seconds > EVERY
        if clock.monotonic() - last[0] < EVERY and not begins:
            return
        last[0] = clock.monotonic()
        what = "scanning" if progress.phase == "scan" else "reading differing keys again"
        console.progress(
            f"compare: {what}: {progress.keys} of about {progress.expected_keys} keys, {progress.rate:.0f} a second, "
            f"about {progress.remaining_seconds:.0f} s left"
        )

    return show
