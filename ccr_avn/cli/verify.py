"""`ccr-avn verify`."""

import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ccr_avn.aiven.program import identify
from ccr_avn.cli import options
from ccr_avn.cli.options import Json, LinkTimeout, Primary, ProjectName, Replica, Samples, flattened
from ccr_avn.cli.promotion_told import sides
from ccr_avn.cli.session import Session
from ccr_avn.errors import NotProven
from ccr_avn.output import console
from ccr_avn.procedures.gates.services import by_name
from ccr_avn.procedures.verify import Depth, Level, VerifyRequest, plan_verify
from ccr_avn.valkey.compare import JOBS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccr_avn.valkey.compare import Progress

EVERY = 2.0
"""Seconds between two lines on how a comparison goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """How keys are compared."""

    match: Annotated[str | None, typer.Option(metavar="GLOB", help="Compare only keys matching GLOB.")] = None
    sample: Annotated[int | None, options.count("Compare only N random keys of each side.")] = None
    db: Annotated[list[int] | None, options.number("Compare only this database; repeatable.")] = None
    jobs: Annotated[int, options.count("Connections to each side: what costs is the round trip.")] = JOBS
    max_ops: Annotated[
        int,
        options.number("Maximum commands per second on PRIMARY (a key costs about two); 0: no limit."),
    ] = 20_000
    rounds: Annotated[int, options.count("How often differing keys are read again.")] = 3
    round_interval: Annotated[float, options.seconds("Pause between these rounds.")] = 2
    differences: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", callback=options.a_file_to_write, help="Write every difference to FILE, as JSON lines."
        ),
    ] = None

    @property
    def depth(self) -> Depth:
        return Depth(
            match=self.match,
            sample=self.sample,
            databases=tuple(self.db) if self.db else None,
            jobs=self.jobs,
            max_operations=self.max_ops,
            rounds=self.rounds,
            round_interval=self.round_interval,
            differences=self.differences,
        )


def must_fit(context: typer.Context, level: Level, *comparing: str) -> None:
    """``comparing``: the options that only a comparison of keys heeds.

    Raises:
        UsageError: an option was given that this level does not heed.
    """
    beside = f"--level {level}"
    if level == "link":
        options.refuse_unused(context, beside, "--level marker, keys or values", "samples")
    if level in ("link", "marker"):
        options.refuse_unused(context, beside, "--level keys or values", *comparing, use="use --level values")


@flattened
def verify(
    *,
    context: typer.Context,
    primary: Primary,
    replica: Replica,
    level: Annotated[
        Level,
        typer.Option(
            help="link: replication is up; marker: test writes arrive; keys: every key exists; values: and has equal contents."
        ),
    ] = "marker",
    json: Json = False,
    samples: Samples = 20,
    max_lag_bytes: Annotated[int | None, options.number("Maximum lag of REPLICA, in bytes. [default: any]")] = None,
    allow_rejected_commands: options.AllowRejected = False,
    project: ProjectName = None,
    comparing: Comparing,
    unlinked: Annotated[
        bool, typer.Option("--unlinked", help="Compare two services that do not replicate, as after a promotion.")
    ] = False,
    link_timeout: LinkTimeout = 15,
    asking: options.Asking,
) -> None:
    """Prove that REPLICA replicates PRIMARY. Exit 6 if it does not, or if that can't be proven.

    --match, --sample, --db, --jobs, --max-ops, --rounds, --round-interval and --differences are for --level keys and
    values.

    Examples:
      ccr-avn verify eu us
      ccr-avn verify eu us --level values --differences differences.jsonl
      ccr-avn verify eu us --level keys --sample 10000
    """
    must_fit(context, level, *(one.name for one in fields(Comparing)), "unlinked")
    if unlinked or (level == "values" and comparing.depth.whole):
        beside = "--unlinked" if unlinked else "a comparison of all values"
        options.refuse_unused(
            context, beside, "replicated pairs and --level link, marker or keys", "allow_rejected_commands"
        )
    asking.preload()
    setting = options.tolerant(asking.setting(project), allow_rejected_commands)
    want = VerifyRequest(
        primary=primary,
        replica=replica,
        setting=setting,
        level=level,
        samples=samples,
        link_timeout=link_timeout,
        max_lag=max_lag_bytes,
        linked=not unlinked,
        depth=comparing.depth,
    )
    verifying = plan_verify(want, _telling())
    session = Session("verify", json=json, primary=primary, replica=replica, project=setting.project.name)
    try:
        run = session.perform(verifying.plan, identify(asking.avn), asking.call_timeout)
    except NotProven as problem:
        if session.run:
            problem.result = verifying.proof.evidence(session.run.seen)
        raise
    result = {"primary": primary, "replica": replica, "level": want.level, **verifying.proof.evidence(run.seen)}
    if want.linked:
        both = run.seen.of(verifying.pair)
        result["before"] = result["after"] = sides(primary=by_name(both, primary), replica=by_name(both, replica))
    what = f"{replica} has the same data as {primary}" if unlinked else f"{replica} replicates {primary}"
    session.finish(run, result, [f"{what}: {_proven(want, result)}"])


def _proven(want: "VerifyRequest", result: "dict[str, Any]") -> str:
    """By what, and by how much of it: of no keys at all nothing is proven."""
    if "compare" not in result:
        return f"proven by {want.level}"
    keys, depth = result["compare"]["keys"], want.depth
    if not keys:
        return "proven by marker; there was no key to compare" if want.linked else "there was no key to compare"
    chosen = " chosen at random" if depth.sample is not None else ""
    chosen += f" matching {depth.match}" if depth.match is not None else ""
    chosen += f" in database {', '.join(map(str, depth.databases))}" if depth.databases else ""
    by = "the values" if want.level == "values" else "existence, type and expiry"
    return f"proven by {by} of {keys} keys{chosen}"


def _telling() -> "Callable[[Progress], None]":
    """How far a comparison is, with rate and remaining time, now and then."""
    last = [time.monotonic()]

    def tell(progress: "Progress") -> None:
        """Before it begins, what is expected, where that is worth a line."""
        begins = not progress.keys and progress.remaining_seconds > EVERY
        if time.monotonic() - last[0] < EVERY and not begins:
            return
        last[0] = time.monotonic()
        what = "scanning" if progress.phase == "scan" else "reading differing keys again"
        console.note(
            f"compare: {what}: {progress.keys} of about {progress.expected_keys} keys, {progress.rate:.0f} a second, "
            f"about {progress.remaining_seconds:.0f} s left"
        )

    return tell
