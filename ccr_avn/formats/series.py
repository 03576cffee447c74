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
    "redis_master_last_io_seconds_ago": "Seconds since the replica last heard of its primary.",
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


def families(points: Iterable[Point]) -> "Iterator[GaugeMetricFamily]":
    """The points of a metric together; of two for one series the first counts."""
    from prometheus_client.core import GaugeMetricFamily

    found: dict[tuple[str, Labels], float] = {}
    for point in points:
        found.setdefault((point.metric, point.labels), float(point.value))
    for metric, told in HELP.items():
        mine = [(labels, value) for (name, labels), value in found.items() if name == metric]
        if mine:
            family = GaugeMetricFamily(metric, told, labels=[key for key, _ in mine[0][0]])
            for labels, value in mine:
                family.add_metric([printable_line(word) for _, word in labels], value)
            yield family


class Collector:
    """What a registry asks for the points whenever it is read."""

    def __init__(self, points: Callable[[], Iterable[Point]]) -> None:
        self._points = points

    def collect(self) -> "Iterator[GaugeMetricFamily]":
        return families(self._points())
