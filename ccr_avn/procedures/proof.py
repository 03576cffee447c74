"""Steps that prove replication: the link, the databases, markers; and what they showed, as data."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from ccr_avn.errors import CcrError, NotProven, TimedOut
from ccr_avn.options import AllowRejected, Primary, Replica, Samples, number
from ccr_avn.plan.gates import gate
from ccr_avn.plan.model import Finding, Gate, Probe, Step
from ccr_avn.procedures.gates import links
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Setting, endpoint
from ccr_avn.valkey.compare import Comparison
from ccr_avn.valkey.marker import MarkerResult, run_marker
from ccr_avn.valkey.replication import Link, ReplicationInfo
from ccr_avn.valkey.server_facts import Databases, fetch_link, read_databases


@gate("link", timeout=60, asks=("primary", "replica"))
def link_step(
    at: Setting,
    primary: Primary,
    replica: Replica,
    *,
    max_lag_bytes: Annotated[int | None, number("Maximum lag of REPLICA, in bytes. [default: any]")] = None,
    allow_rejected_commands: AllowRejected = False,
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
        return links.replicates(link, first[0], primary, replica, allowing.rejections, max_lag_bytes)

    within = "" if max_lag_bytes is None else f", at most {max_lag_bytes} bytes behind"
    up = f"the link is up, no sync is in progress, both have the same replication ID{within}"

    return Step(
        slug="link",
        purpose=f"wait until {replica} follows {primary}",
        read=Probe(read, at.server(replica, "INFO replication, INFO stats")),
        gate=Gate(f"{up}, and the replica has rejected no command", judge, refused=NotProven),
        poll=at.poll(limit, error=late, hint="the initial sync may need longer: raise --link-timeout"),
    )


@gate("databases", asks=("primary", "replica"))
def databases_step(
    at: Setting,
    primary: Primary,
    replica: Replica,
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
        gate=Gate(
            f"{replica} can select every database that {primary} uses",
            lambda found, seen: links.has_every_database(found, seen.service(primary), replica),
            refused,
        ),
        unneeded=lambda seen: "" if linked(seen) else "not checked: nothing is replicated",
    )


@gate("marker", asks=("primary", "replica"))
def marker_step(at: Setting, primary: Primary, replica: Replica, *, samples: Samples = 20) -> Step[MarkerResult]:
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
        gate=Gate(
            "every marker written to the primary is read from the replica",
            lambda result, _: links.markers_arrive(result),
            NotProven,
        ),
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
        "counts": {name: getattr(found.counts, name) for name in ("missing", "extra", "type", "expiry", "value")},
        "examples": [{"kind": one.kind, "database": one.database, "key": one.key} for one in found.examples],
        "reasons": list(found.reasons),
        "compared_by_dump": list(found.compared_by_dump),
        "keys_a_second": round(found.rate),
        "seconds": round(found.seconds, 3),
        "peak_memory_bytes": list(found.peak_memory_bytes),
    }
