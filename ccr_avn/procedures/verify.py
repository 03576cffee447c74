"""verify: prove that an existing pair replicates; and the steps that prove it, in other runs too."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from ccr_avn import options
from ccr_avn.aiven import avn
from ccr_avn.aiven.lineage import promoted_from
from ccr_avn.aiven.models import Service
from ccr_avn.errors import CcrError, NotProven, TimedOut
from ccr_avn.plan.gates import gate
from ccr_avn.plan.model import Finding, Plan, Probe, Step, stop
from ccr_avn.procedures.gates.links import as_compared, has_every_database, is_equal, markers_arrive, replicates
from ccr_avn.procedures.gates.pair import judge_serves
from ccr_avn.procedures.gates.services import paired_otherwise, together
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Setting, endpoint
from ccr_avn.procedures.verb import Ended, Outcome, PairVerb, sides
from ccr_avn.valkey.compare import JOBS, CompareRequest, Comparison, Progress
from ccr_avn.valkey.compare.engine import compare
from ccr_avn.valkey.marker import MarkerResult, run_marker
from ccr_avn.valkey.replication import NOT_LINKED, Link, ReplicationInfo
from ccr_avn.valkey.server_facts import Databases, fetch_link, fetch_replication, read_databases

Level = Literal["link", "marker", "keys", "values"]

MaxLag = Annotated[int | None, options.number("Maximum lag of REPLICA, in bytes. [default: any]")]

NO_KEY = "no key matches --match or --db"
"""Where these were given, equality of none is a typing error before it is a proof."""

MAX_OPS = 20_000  # default commands a second on the primary


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify(PairVerb):
    """Prove that REPLICA replicates PRIMARY. Exit 6 if it does not, or if that can't be proven."""

    level: Annotated[
        Level,
        options.choice(
            "link: replication is up; marker: test writes arrive; keys: every key exists; values: contents are equal, too."
        ),
    ] = "marker"
    samples: options.Samples = 20
    max_lag_bytes: MaxLag = None
    allow_rejected_commands: options.AllowRejected = False
    match: Annotated[str | None, options.word("GLOB", "Compare only keys matching GLOB.")] = None
    sample: Annotated[int | None, options.count("Compare only N random keys of each side.")] = None
    db: Annotated[list[int] | None, options.number("Compare only this database; repeatable.")] = None
    jobs: Annotated[int, options.count("Connections to each side; more of them hide the round-trip time.")] = JOBS
    max_ops: Annotated[
        int, options.number("Maximum commands per second on PRIMARY (a key costs about two); 0: no limit.")
    ] = MAX_OPS
    rounds: Annotated[int, options.count("How often differing keys are read again.")] = 3
    round_interval: Annotated[float, options.seconds("Pause between these rounds.")] = 2
    differences: Annotated[
        Path | None, options.word("FILE", "Write every difference to FILE, as JSON lines.", options.a_file_to_write)
    ] = None
    unlinked: Annotated[bool, options.flag("Compare two services that do not replicate, as after a promotion.")] = False
    link_timeout: options.LinkTimeout = 15
    progress: Callable[[Progress], None] | None = None  # called now and then while a comparison goes on

    command: ClassVar[str] = "verify"

    @property
    def proves_values(self) -> bool:
        """Whether it alone shows that a replica lacks nothing, whatever that rejected: no key is left out."""
        every_key = self.match is None and self.sample is None and not self.db
        return not self.unlinked and self.level == "values" and every_key

    # -- what it does

    def plan(self) -> Plan:
        how = "compare {1} with {0}" if self.unlinked else "prove that {1} replicates {0}"
        return Plan(how.format(self.primary, self.replica), checks=(self._confirm_pair(),), steps=self.proof())

    def proof(self, late: type[CcrError] = NotProven) -> tuple[Step[Any], ...]:
        """The steps that prove it, to this level. ``late``: what it is when the link is not up in time."""
        sides = (self.primary, self.replica)
        compare = (self._compare(),) if self.level in ("keys", "values") else ()
        if self.unlinked:
            return compare
        at = replace(self.at, allow_rejected=True) if self.proves_values else self.at
        marker = () if self.level == "link" else (marker_step(self.at, *sides, samples=self.samples),)
        return (
            link_step(
                at,
                *sides,
                limit=self.link_timeout,
                late=late,
                max_lag_bytes=self.max_lag_bytes,
                allow_rejected_commands=bool(at.allow_rejected),
            ),
            databases_step(self.at, *sides),
            *marker,
            *compare,
        )

    def _compare(self) -> Step[Comparison]:
        def judge(found: Comparison, seen: Seen) -> Finding:
            if NO_KEY in found.reasons:
                return stop(NO_KEY, detail="nothing was compared", hint="check them, or leave them out")
            finding = is_equal(found)
            if not self.proves_values or finding.verdict != "go" or not found.keys:
                return finding
            return replace(finding, facts={"equal_by_value": as_compared(seen.answer("link").replica)})

        most = ("--max-ops", str(self.max_ops)) if self.max_ops != MAX_OPS else ()
        words = (*self.at.options, "--level", self.level, *most, *(("--unlinked",) if self.unlinked else ()))
        return Step(
            slug="compare",
            purpose=f"compare every key of {self.primary} with {self.replica}",
            read=Probe(self._compared, self.at.server(self.replica, "DUMP of each key, as at its primary")),
            command=("ccr-avn", "verify", self.primary, self.replica, *words),
            rule="every key exists on both sides with equal contents",
            judge=judge,
            refused=NotProven,
        )

    def _compared(self, seen: Seen) -> Comparison:
        """Raises: NotProven: both are one server."""
        request = CompareRequest(
            primary=endpoint(seen.latest[self.primary], self.at),
            replica=endpoint(seen.latest[self.replica], self.at),
            level="values" if self.level == "values" else "keys",
            match=self.match,
            sample=self.sample,
            databases=tuple(self.db) if self.db else None,
            jobs=self.jobs,
            max_operations=self.max_ops,
            rounds=self.rounds,
            round_interval=self.round_interval,
            differences_file=self.differences,
            require_link=not self.unlinked,
        )
        if self.unlinked:  # else the link was looked at, which shows it
            link = fetch_link(request.primary, request.replica)
            if link.state == "same server":
                hint = "check both addresses: avn service list --json"
                raise NotProven(NOT_LINKED[link.state], detail=f"run_id {link.primary.run_id}", hint=hint)
        found = compare(request, self.progress)
        if found.verdict == "equal" and not found.keys and (self.match is not None or self.db):
            return replace(found, verdict="inconclusive", reasons=(*found.reasons, NO_KEY))
        if not self.proves_values or found.verdict != "equal":
            return found
        if as_compared(seen.answer("link").replica) == as_compared(fetch_replication(request.replica)):
            return found
        why = f"{self.replica} rejected commands from its primary in the meantime, or was restarted"
        return replace(found, verdict="inconclusive", reasons=(*found.reasons, why))

    def _confirm_pair(self) -> Step[tuple[Service, ...]]:
        """Both exist and serve, and, unless unlinked, the integration goes from PRIMARY to REPLICA."""

        def judge(listed: tuple[Service, ...], _: Seen) -> Finding:
            found = {one.name: one for one in listed}
            target, hint = found.get(self.replica), "check the name and the project: `avn service list`"
            findings = [
                judge_serves(self.at.project, found[name], listed)
                if name in found
                else stop(f"{name} does not exist", hint=hint)
                for name in (self.primary, self.replica)
            ]
            if not self.unlinked and target and target.source != self.primary:
                findings.append(self._not_its_replica(target, found))
            return together(findings)

        return Step(
            slug="pair",
            purpose=f"check that {self.replica} is a read replica of {self.primary}",
            read=avn.service_list(self.at.project, self.primary, self.replica),
            rule="both are running, and the read_replica integration links them",
            judge=judge,
        )

    def _not_its_replica(self, target: Service, found: dict[str, Service]) -> Finding:
        other, primary, replica = found.get(self.primary), self.primary, self.replica
        if otherwise := paired_otherwise("verify", other, target):
            return otherwise
        if other and promoted_from(target, tuple(found.values())) == other:
            hint = f"to compare them: ccr-avn verify {primary} {replica} --unlinked --level values"
            return stop(f"{replica} was promoted from {primary}: it replicates nothing", hint=hint)
        hint = f"`ccr-avn enable {primary} NAME` creates a replica of {primary}"
        return stop(f"{replica} is not a read replica", hint=hint)

    # -- how it ended

    def half_way(self, ended: Ended) -> tuple[tuple[str, ...], dict[str, Any]]:
        return (), evidence(ended.seen)

    def outcome(self, ended: Ended) -> Outcome:
        shown = evidence(ended.seen)
        result = {**self.facts(), "level": self.level, **shown}
        if not self.unlinked:
            services = ended.seen.latest
            pair = sides(primary=services[self.primary], replica=services[self.replica])
            result |= {"before": pair, "after": pair}
        what = "has the same data as" if self.unlinked else "replicates"
        return Outcome(result=result, lines=(f"{self.replica} {what} {self.primary}: {self._proven_by(shown)}",))

    def _proven_by(self, shown: dict[str, Any]) -> str:
        """By what, and by how much of it: of no keys at all nothing is proven."""
        if "compare" not in shown:
            return f"proven by {self.level}"
        keys = shown["compare"]["keys"]
        if not keys:
            none = "there was no key to compare"
            return none if self.unlinked else f"proven by marker; {none}"
        chosen = " chosen at random" if self.sample is not None else ""
        chosen += f" matching {self.match}" if self.match is not None else ""
        chosen += f" in database {', '.join(map(str, self.db))}" if self.db else ""
        by = "the values" if self.level == "values" else "existence, type and expiry"
        return f"proven by {by} of {keys} keys{chosen}"


# -- the steps that prove it


@gate("link", timeout=60, asks=("primary", "replica"))
def link_step(
    at: Setting,
    primary: options.Primary,
    replica: options.Replica,
    *,
    max_lag_bytes: MaxLag = None,
    allow_rejected_commands: options.AllowRejected = False,
    limit: float,
    late: type[CcrError] = TimedOut,
) -> Step[Link]:
    """Wait until REPLICA follows PRIMARY: the link is up, no sync is in progress, and no command was rejected.

    Examples:
      ccr-avn gate link eu us
      ccr-avn gate link eu us --max-lag-bytes 1000000 --timeout 900
    """
    allowing = replace(at, allow_rejected=True) if allow_rejected_commands else at

    first: list[ReplicationInfo] = []  # the primary, at the first look

    def read(seen: Seen) -> Link:
        return fetch_link(endpoint(seen.service(primary), at), endpoint(seen.service(replica), at))

    def judge(link: Link, _: Seen) -> Finding:
        first[:] = first or [link.primary]
        return replicates(link, first[0], primary, replica, allowing.rejections, max_lag_bytes)

    within = "" if max_lag_bytes is None else f", at most {max_lag_bytes} bytes behind"
    up = f"the link is up, no sync is in progress, both have the same replication ID{within}"

    return Step(
        slug="link",
        purpose=f"wait until {replica} follows {primary}",
        read=Probe(read, at.server(replica, "INFO replication, INFO stats")),
        rule=f"{up}, and the replica has rejected no command",
        judge=judge,
        refused=NotProven,
        poll=at.poll(limit, error=late, hint="the initial sync may need longer: raise --link-timeout"),
    )


@gate("databases", asks=("primary", "replica"))
def databases_step(
    at: Setting,
    primary: options.Primary,
    replica: options.Replica,
    *,
    refused: type[CcrError] = NotProven,
    linked: Callable[[Seen], bool] = lambda _: True,
) -> Step[Databases]:
    """Check that REPLICA has every database that PRIMARY uses.

    Examples:
      ccr-avn gate databases eu us
      ccr-avn gate databases eu us --json
    """

    def read(seen: Seen) -> Databases:
        return read_databases(endpoint(seen.service(primary), at), endpoint(seen.service(replica), at))

    return Step(
        slug="databases",
        purpose=f"check that {replica} has every database that {primary} uses",
        read=Probe(read, at.server(primary, "INFO keyspace")),
        rule=f"{replica} can select every database that {primary} uses",
        judge=lambda found, seen: has_every_database(found, seen.service(primary), replica),
        refused=refused,
        unneeded=lambda seen: "" if linked(seen) else "not checked: nothing is replicated",
    )


@gate("marker", asks=("primary", "replica"))
def marker_step(
    at: Setting, primary: options.Primary, replica: options.Replica, *, samples: options.Samples = 20
) -> Step[MarkerResult]:
    """Write markers to PRIMARY and read them from REPLICA; exit 6 if they don't arrive.

    Examples:
      ccr-avn gate marker eu us
      ccr-avn gate marker eu us --samples 100
    """

    def read(seen: Seen) -> MarkerResult:
        source, target = endpoint(seen.service(primary), at), endpoint(seen.service(replica), at)
        return run_marker(source, target, samples=samples)

    return Step(
        slug="marker",
        purpose=f"write {samples} markers to {primary} and read each from {replica}",
        read=Probe(read, at.server(replica, "INFO replication")),
        rule="every marker written to the primary is read from the replica",
        judge=lambda result, _: markers_arrive(result),
        refused=NotProven,
        writes_keys=True,
    )


def evidence(seen: Seen) -> dict[str, Any]:
    """What these steps showed, as plain data; of a run that ended early what it came to."""
    found: dict[str, Any] = {}
    if link := seen.answer("link"):
        found["replication"] = {"lag_bytes": link.lag_bytes, "history": link.primary.replid}
    if marker := seen.answer("marker"):
        found["marker"] = {
            "samples": marker.samples,
            "arrived": marker.arrived,
            **dict(
                zip(("minimum_ms", "median_ms", "maximum_ms"), (round(one, 3) for one in marker.spread), strict=True)
            ),
            "clock_skew_seconds": round(marker.skew, 3),
        }
    if compare := seen.answer("compare"):
        found["compare"] = compared(compare)
    return found


def compared(found: Comparison) -> dict[str, Any]:
    """A comparison as plain data; keys are escaped."""
    return {
        "verdict": found.verdict,
        "level": found.level,
        "keys": found.keys,
        "replica_keys": found.replica_keys,
        "counts": dict(found.counts),
        "examples": [{"kind": one.kind, "database": one.database, "key": one.key} for one in found.examples],
        "reasons": list(found.reasons),
        "compared_by_dump": list(found.compared_by_dump),
        "keys_a_second": round(found.rate),
        "seconds": round(found.seconds, 3),
        "peak_memory_bytes": list(found.peak_memory_bytes),
    }
