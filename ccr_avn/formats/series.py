"""Prometheus series: their names and meanings, shared by what is written and what is served. As redis_exporter has them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccr_avn.dataplane.link import Side
from ccr_avn.printable import printable_line

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

HELP: dict[str, str] = {
    "redis_up": "Whether the service's data plane answered.",
    "redis_master_repl_offset": "Bytes of the replication stream that the primary has produced.",
    "redis_slave_repl_offset": "Bytes of the replication stream that the replica has applied.",
    "redis_master_link_up": "Whether the replica says that its link is up.",
    "redis_master_last_io_seconds_ago": "Seconds since the replica's last contact with its primary.",
    "redis_master_sync_in_progress": "Whether the replica is making a full copy.",
    "ccr_link_up": "Whether the replica follows this very primary: link up, no copy under way, one history.",
    "ccr_lag_bytes": "Bytes by which the replica is behind its primary.",
    "ccr_pair_lost": "Whether there is no replication between the two any more: promoted, or expected and missing.",
    "ccr_old_primary_open": "Whether the service that the successor was promoted from still lets clients in.",
    "ccr_integration_active": "Whether Aiven says that the read_replica integration is active.",
    "ccr_backup_age_seconds": "Seconds since the newest backup of the primary.",
    "ccr_service_running": "Whether Aiven says that the service is RUNNING.",
    "ccr_exposures": "How many weaknesses `ccr-avn status` lists for the pair.",
    "ccr_health": "The pair's verdict: 0 ok, 1 warning, 2 unknown, 3 critical.",
    "ccr_status_health": "The verdict on all that `ccr-avn status` looked at: 0 ok, 1 warning, 2 unknown, 3 critical.",
    "ccr_status_timestamp_seconds": "When this was looked at, in seconds since 1970.",
    "ccr_marker_lag_seconds": "Seconds from a marker's writing to its being read; while none arrives, since the last.",
    "ccr_last_verified_timestamp_seconds": "When a marker last arrived, in seconds since 1970.",
    "ccr_write_bytes_per_second": "Bytes of replication stream that the primary produces, without watch's own markers.",
    "ccr_sample_timestamp_seconds": "When the last sample was taken, in seconds since 1970.",
}

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Point:
    metric: str
    labels: Labels
    value: float


def of_side(service: str, side: Side | None) -> Iterator[Point]:
    """What a data plane answered, or that it did not. What isn't known is left out, as scrapers expect."""
    labels: Labels = (("service", service),)
    yield Point("redis_up", labels, side is not None)
    if side is None:
        return
    if side.role != "slave":
        yield Point("redis_master_repl_offset", labels, side.offset)
        return
    yield Point("redis_slave_repl_offset", labels, side.offset)
    yield Point("redis_master_link_up", labels, side.link_status == "up")
    yield Point("redis_master_sync_in_progress", labels, side.sync_in_progress)
    if side.last_io_seconds is not None:
        yield Point("redis_master_last_io_seconds_ago", labels, side.last_io_seconds)


def families(points: Iterable[Point]) -> dict[str, dict[Labels, float]]:
    """The series of each metric, in the order of their meanings; of two points for one series the first counts."""
    found: dict[str, dict[Labels, float]] = {metric: {} for metric in HELP}
    for point in points:
        labels = tuple((key, printable_line(word)) for key, word in point.labels)
        found[point.metric].setdefault(labels, float(point.value))
    return {metric: mine for metric, mine in found.items() if mine}


def text(points: Iterable[Point]) -> str:
    """As a file for node_exporter: whole numbers stay whole, as people and scripts look for them."""
    lines: list[str] = []
    for metric, mine in families(points).items():
        lines += [f"# HELP {metric} {HELP[metric]}", f"# TYPE {metric} gauge"]
        lines += [_line(metric, labels, value) for labels, value in mine.items()]
    return "\n".join(lines) + "\n"


def _line(metric: str, labels: Labels, value: float) -> str:
    told = ",".join(f'{key}="{_escaped(word)}"' for key, word in labels)
    shown = f"{value:.3f}".rstrip("0").rstrip(".")
    return f"{metric}{{{told}}} {shown}" if labels else f"{metric} {shown}"


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')


class Collector:
    """What a registry asks for the points whenever it is read."""

    def __init__(self, points: Callable[[], Iterable[Point]]) -> None:
        self._points = points

    def collect(self) -> "Iterator[GaugeMetricFamily]":
        from prometheus_client.core import GaugeMetricFamily

        for metric, mine in families(self._points()).items():
            family = GaugeMetricFamily(metric, HELP[metric], labels=[key for key, _ in next(iter(mine))])
            for labels, value in mine.items():
                family.add_metric([word for _, word in labels], value)
            yield family
