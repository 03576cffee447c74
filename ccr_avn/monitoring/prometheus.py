"""Prometheus metrics of status and watch: the series, and how they are written or served."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ccr_avn import clock
from ccr_avn.errors import UsageError
from ccr_avn.monitoring.collect import NO_LOOK
from ccr_avn.monitoring.probe import Sample
from ccr_avn.monitoring.status import CODES, PairStatus, overall
from ccr_avn.printable import printable_line
from ccr_avn.valkey.replication import ReplicationInfo

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric


HELP: dict[str, str] = {
    "ccr_up": "Whether the service's data plane answered.",
    "ccr_primary_offset_bytes": "Bytes of the replication stream that the primary has produced.",
    "ccr_replica_offset_bytes": "Bytes of the replication stream that the replica has applied.",
    "ccr_replica_link_up": "Whether the replica says that its link is up.",
    "ccr_replica_last_io_seconds": "Seconds since the replica's last contact with its primary.",
    "ccr_replica_sync_in_progress": "Whether a full sync of the replica is in progress.",
    "ccr_link_up": "Whether the replica follows this primary: link up, no sync in progress, same replication ID.",
    "ccr_lag_bytes": "Bytes by which the replica is behind its primary.",
    "ccr_pair_lost": "Whether the two no longer replicate: promoted, or expected and missing.",
    "ccr_old_primary_open": "Whether the service that the successor was promoted from still accepts clients.",
    "ccr_integration_active": "Whether Aiven says that the read_replica integration is active.",
    "ccr_backup_age_seconds": "Seconds since the newest backup of the primary.",
    "ccr_service_running": "Whether Aiven says that the service is RUNNING.",
    "ccr_exposures": "How many weaknesses `ccr-avn status` lists for the pair.",
    "ccr_health": "The pair's verdict: 0 ok, 1 warning, 2 critical, 3 unknown.",
    "ccr_status_health": "The overall verdict of `ccr-avn status`: 0 ok, 1 warning, 2 critical, 3 unknown.",
    "ccr_status_timestamp_seconds": "When this status was collected, in seconds since 1970.",
    "ccr_marker_lag_seconds": "Seconds from a marker's writing to its being read; while none arrives, since the last.",
    "ccr_last_verified_timestamp_seconds": "When a marker last arrived, in seconds since 1970.",
    "ccr_write_bytes_per_second": "Bytes of replication stream that the primary produces, without watch's own markers.",
    "ccr_sample_timestamp_seconds": "When the last sample was taken, in seconds since 1970.",
}
"""The same in every file: node_exporter drops a file that says otherwise of a metric than another one does."""

Labels = dict[str, str]
Point = tuple[str, Labels, float]
"""A metric's name, its labels but that of the project, and its value. What isn't known is left out."""


def of_side(service: str, side: ReplicationInfo | None) -> Iterator[Point]:
    """What a data plane answered, or that it did not."""
    labels = {"aiven_service": service}
    yield "ccr_up", labels, side is not None
    if side is None:
        return
    if side.role != "slave":
        yield "ccr_primary_offset_bytes", labels, side.offset
        return
    yield "ccr_replica_offset_bytes", labels, side.offset
    yield "ccr_replica_link_up", labels, side.link_status == "up"
    yield "ccr_replica_sync_in_progress", labels, side.sync_in_progress
    if side.last_io_seconds is not None:
        yield "ccr_replica_last_io_seconds", labels, side.last_io_seconds


def registry_of(points: Iterable[Point], project: str) -> "CollectorRegistry":
    """Of two points for one series the last counts."""
    from prometheus_client import CollectorRegistry, Gauge

    registry, gauges = CollectorRegistry(), dict[str, Gauge]()
    for name, given, value in points:
        labels = {key: printable_line(word) for key, word in {"project": project, **given}.items()}
        if name not in gauges:
            gauges[name] = Gauge(name, HELP[name], tuple(labels), registry=registry)
        gauges[name].labels(**labels).set(value)
    return registry


def text_of(found: tuple[PairStatus, ...], project: str) -> str:
    """As a file for node_exporter."""
    from prometheus_client import generate_latest

    # What is missing comes last: of two words on one series the worse counts.
    points = [point for one in sorted(found, key=lambda one: bool(one.pair.missing)) for point in _of(one)]
    points.append(("ccr_status_health", {}, CODES[overall(found)]))
    points.append(("ccr_status_timestamp_seconds", {}, clock.now()))
    return generate_latest(registry_of(points, project)).decode()


def _of(one: PairStatus) -> Iterator[Point]:
    pair = one.pair
    if pair.drill is not None:
        return  # nobody is to be woken by what a drill does
    labels = {"primary": pair.primary_name, "replica": pair.replica_name}
    for service in pair.services:
        yield "ccr_service_running", {"aiven_service": service.name}, service.state == "RUNNING"
    if one.admission is None:
        yield "ccr_exposures", labels, len(one.exposure)
    elif one.admission.state != "unknown":
        for successor in pair.past.successors:
            old = {"aiven_service": pair.primary_name, "successor": successor}
            yield "ccr_old_primary_open", old, one.admission.state == "open"
    if one.backup_age is not None:
        yield "ccr_backup_age_seconds", {"aiven_service": pair.primary_name}, one.backup_age
    if pair.is_current:
        yield from _replication(one, {"primary": pair.past.origin, "replica": pair.primary_name}, lost=True)
    elif pair.replica_name:
        yield from _replication(one, labels, lost=bool(pair.missing))


def _replication(one: PairStatus, labels: Labels, *, lost: bool) -> Iterator[Point]:
    """The series of a pair stay when it is one no more: an alert on a series that is gone never fires."""
    pair, seen = one.pair, one.link != "-"
    yield "ccr_health", labels, CODES[one.health]
    yield "ccr_pair_lost", labels, lost
    yield "ccr_integration_active", labels, not lost and pair.integration == "active"
    if lost or seen:
        yield "ccr_link_up", labels, not lost and one.link == "up"
    if not lost and one.lag_bytes is not None:
        yield "ccr_lag_bytes", labels, one.lag_bytes
    if pair.is_current or (seen and not lost):
        for _, name, service, look in one.sides:
            if service and look != NO_LOOK:
                yield from of_side(name, look.side)


class Metrics:
    """Serves the last sample until :meth:`close`. ``listen``: ADDR:PORT, or PORT on loopback; 0: any; ``url`` has it."""

    def __init__(self, pair: tuple[str, str], project: str, listen: str) -> None:
        """Raises: UsageError: the address can't be listened on."""
        from prometheus_client import CollectorRegistry, start_http_server

        self.sample: Sample | None = None
        self._verified: float | None = None
        self._pair, self._project = pair, project
        given, _, port = listen.rpartition(":")
        address = given.strip("[]") or "127.0.0.1"
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(int(port), addr=address, registry=registry)
        except OSError as error:
            what = f"--listen: can't listen on {address}:{port}"
            raise UsageError(what, detail=str(error.strerror), hint="choose another port") from None
        shown = f"[{address}]" if ":" in address else address
        self.url = f"http://{shown}:{self._server.server_port}/metrics"

    def show(self, sample: Sample) -> None:
        self.sample = sample
        if sample.arrived:
            self._verified = sample.at

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2)

    def collect(self) -> "Iterable[Metric]":
        """What the registry asks for whenever it is read: a series whose value isn't known is gone."""
        return registry_of(self.points(), self._project).collect()

    def points(self) -> Iterator[Point]:
        sample = self.sample
        if sample is None:
            return
        known: dict[str, float | None] = {
            "ccr_link_up": sample.link == "up",
            "ccr_pair_lost": sample.link == "no primary",
            "ccr_lag_bytes": sample.lag_bytes,
            "ccr_marker_lag_seconds": None if sample.lag_ms is None else sample.lag_ms / 1000,
            "ccr_last_verified_timestamp_seconds": self._verified,
            "ccr_write_bytes_per_second": sample.write_rate,
            "ccr_sample_timestamp_seconds": sample.at,
        }
        labels = {"primary": self._pair[0], "replica": self._pair[1]}
        yield from ((name, labels, value) for name, value in known.items() if value is not None)
        for service, side in zip(self._pair, (sample.primary, sample.replica), strict=True):
            yield from of_side(service, side)
