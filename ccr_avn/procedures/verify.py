"""verify: prove that an existing pair replicates."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from ccr_avn.aiven import avn
from ccr_avn.aiven.lineage import promoted_from
from ccr_avn.aiven.models import Service
from ccr_avn.errors import CcrError, NotProven
from ccr_avn.options import (
    AllowRejected,
    LinkTimeout,
    Samples,
    a_file_to_write,
    choice,
    count,
    flag,
    number,
    seconds,
    word,
)
from ccr_avn.plan.model import Finding, Gate, Plan, Probe, Step, stop
from ccr_avn.procedures.gates.links import as_compared, is_equal
from ccr_avn.procedures.gates.pair import judge_serves
from ccr_avn.procedures.gates.services import paired_otherwise, together
from ccr_avn.procedures.proof import databases_step, evidence, link_step, marker_step
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import endpoint
from ccr_avn.procedures.verb import Ended, Outcome, PairVerb, sides
from ccr_avn.valkey.compare import JOBS, CompareRequest, Comparison, Progress
from ccr_avn.valkey.compare.engine import compare
from ccr_avn.valkey.replication import NOT_LINKED
from ccr_avn.valkey.server_facts import fetch_link, fetch_replication

Level = Literal["link", "marker", "keys", "values"]

NO_KEY = "no key matches --match or --db"
"""Where these were given, equality of none is a typing error before it is a proof."""

MAX_OPS = 20_000
"""Default commands a second on the primary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify(PairVerb):
    """Prove that REPLICA replicates PRIMARY. Exit 6 if it does not, or if that can't be proven."""

    level: Annotated[
        Level,
        choice(
            "link: replication is up; marker: test writes arrive; keys: every key exists; values: contents are equal, too."
        ),
    ] = "marker"
    samples: Samples = 20
    max_lag_bytes: Annotated[int | None, number("Maximum lag of REPLICA, in bytes. [default: any]")] = None
    allow_rejected_commands: AllowRejected = False
    match: Annotated[str | None, word("GLOB", "Compare only keys matching GLOB.")] = None
    sample: Annotated[int | None, count("Compare only N random keys of each side.")] = None
    db: Annotated[list[int] | None, number("Compare only this database; repeatable.")] = None
    jobs: Annotated[int, count("Connections to each side; more of them hide the round-trip time.")] = JOBS
    max_ops: Annotated[int, number("Maximum commands per second on PRIMARY (a key costs about two); 0: no limit.")] = (
        MAX_OPS
    )
    rounds: Annotated[int, count("How often differing keys are read again.")] = 3
    round_interval: Annotated[float, seconds("Pause between these rounds.")] = 2
    differences: Annotated[
        Path | None, word("FILE", "Write every difference to FILE, as JSON lines.", a_file_to_write)
    ] = None
    unlinked: Annotated[
        bool, flag("--unlinked", "Compare two services that do not replicate, as after a promotion.")
    ] = False
    link_timeout: LinkTimeout = 15
    progress: Callable[[Progress], None] | None = None  # is told of a comparison while it goes on

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
            gate=Gate("every key exists on both sides with equal contents", judge, refused=NotProven),
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
            gate=Gate("both are running, and the read_replica integration links them", judge),
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
