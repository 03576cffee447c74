"""Prometheus' text format, for node_exporter's textfile collector. Names as redis_exporter has them, where it has them."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from ccr_avn.status.looks import Look
from ccr_avn.status.standing import WORSE, Standing

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    metric: str
    labels: Labels
    value: float


HELP: dict[str, str] = {
    "redis_up": "Whether the service's data plane answered.",
    "redis_master_repl_offset": "Bytes of the replication stream that the primary has produced.",
    "redis_slave_repl_offset": "Bytes of the replication stream that the replica has applied.",
    "redis_master_link_up": "Whether the replica says that its link is up.",
    "redis_master_last_io_seconds_ago": "Seconds since the replica last heard of its primary.",
    "redis_master_sync_in_progress": "Whether the replica is making a full copy.",
    "ccr_link_up": "Whether the replica follows this very primary: link up, no copy under way, one history.",
    "ccr_lag_bytes": "Bytes by which the replica is behind its primary.",
    "ccr_integration_active": "Whether Aiven says that the read_replica integration is active.",
    "ccr_backup_age_seconds": "Seconds since the newest backup of the primary.",
    "ccr_service_running": "Whether Aiven says that the service is RUNNING.",
    "ccr_exposures": "How many weaknesses `ccr-avn status` lists for the pair.",
    "ccr_health": "The pair's verdict: 0 ok, 1 warning, 2 unknown, 3 critical.",
    "ccr_status_timestamp_seconds": "When this was looked at, in seconds since 1970.",
}


def text_of(found: tuple[Standing, ...], *, now: float | None = None) -> str:
    """All samples, those of a metric together, as the format wants it. ``now``: seconds since 1970."""
    samples = dict.fromkeys(sample for one in found for sample in _samples(one))  # a primary may be in several pairs
    every = [*samples, Sample("ccr_status_timestamp_seconds", (), time.time() if now is None else now)]
    lines: list[str] = []
    for metric, told in HELP.items():
        mine = [sample for sample in every if sample.metric == metric]
        if mine:
            lines += [f"# HELP {metric} {told}", f"# TYPE {metric} gauge", *(_line(sample) for sample in mine)]
    return "\n".join(lines) + "\n"


def _samples(one: Standing) -> Iterable[Sample]:
    pair = one.pair
    for service in pair.services:
        yield Sample("ccr_service_running", (("service", service.name),), float(service.state == "RUNNING"))
    labels: Labels = (("primary", pair.primary_name), ("replica", pair.replica_name))
    yield Sample("ccr_exposures", labels, len(one.exposure))
    if one.backup_age is not None:
        yield Sample("ccr_backup_age_seconds", (("service", pair.primary_name),), round(one.backup_age))
    if pair.replica is None:
        return
    yield Sample("ccr_health", labels, WORSE.index(one.health))
    yield Sample("ccr_integration_active", labels, float(bool(pair.row and pair.row.active)))
    if one.link != "-":
        yield from _looked(pair.primary_name, one.primary)
        yield from _looked(pair.replica_name, one.replica)
        yield Sample("ccr_link_up", labels, float(one.link == "up"))
    if one.lag_bytes is not None:
        yield Sample("ccr_lag_bytes", labels, one.lag_bytes)


def _looked(name: str, look: Look) -> Iterable[Sample]:
    labels: Labels = (("service", name),)
    yield Sample("redis_up", labels, float(look.side is not None))
    if look.side is None:
        return
    if look.side.role != "slave":
        yield Sample("redis_master_repl_offset", labels, look.side.offset)
        return
    yield Sample("redis_slave_repl_offset", labels, look.side.offset)
    yield Sample("redis_master_link_up", labels, float(look.side.link_status == "up"))
    yield Sample("redis_master_sync_in_progress", labels, float(look.side.sync_in_progress))
    if look.side.last_io_seconds is not None:
        yield Sample("redis_master_last_io_seconds_ago", labels, look.side.last_io_seconds)


def _line(sample: Sample) -> str:
    labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sample.labels)
    value = f"{sample.value:.3f}".rstrip("0").rstrip(".")
    return f"{sample.metric}{{{labels}}} {value}" if labels else f"{sample.metric} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
