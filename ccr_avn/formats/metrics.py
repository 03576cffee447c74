"""A watch's last sample for Prometheus to scrape."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ccr_avn.errors import UsageError
from ccr_avn.formats.exposition import HELP
from ccr_avn.watch.sample import Sample

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

WATCHED: dict[str, str] = {
    "ccr_marker_lag_seconds": "Seconds from a marker's writing to its being read; while none arrives, since the last.",
    "ccr_last_verified_timestamp_seconds": "When a marker last arrived, in seconds since 1970.",
    "ccr_write_bytes_per_second": "Bytes of replication stream that the primary produces, without this watch's own markers.",
    "ccr_sample_timestamp_seconds": "When the last sample was taken, in seconds since 1970.",
}


class Metrics:
    """Serves the last sample until :meth:`close`. ``port`` 0: any that is free; ``url`` tells which."""

    def __init__(self, pair: tuple[str, str], address: str, port: int) -> None:
        """Raises: UsageError: the package is missing, or the address can't be listened on."""
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError:
            raise UsageError(
                "--listen needs a package that is not installed",
                detail="prometheus_client is missing",
                hint="pip install 'ccr-avn[metrics]'",
            ) from None
        self.verified: float | None = None
        self.sample: Sample | None = None
        self._pair = pair
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(port, addr=address, registry=registry)
        except OSError as error:
            raise UsageError(
                f"--listen: can't listen on {address}:{port}", detail=str(error.strerror), hint="choose another port"
            ) from None
        shown = f"[{address}]" if ":" in address else address
        self.url = f"http://{shown}:{self._server.server_port}/metrics"

    def show(self, sample: Sample) -> None:
        self.sample = sample
        if sample.arrived:
            self.verified = sample.at

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2)

    def collect(self) -> "Iterable[GaugeMetricFamily]":
        from prometheus_client.core import GaugeMetricFamily

        if self.sample is None:
            return
        families: dict[str, GaugeMetricFamily] = {}
        for name, labels, value in _values(self.sample, self._pair, self.verified):
            if name not in families:
                families[name] = GaugeMetricFamily(name, {**HELP, **WATCHED}[name], labels=tuple(labels))
            families[name].add_metric(tuple(labels.values()), value)
        yield from families.values()


def _values(
    sample: Sample, pair: tuple[str, str], verified: float | None
) -> Iterable[tuple[str, dict[str, str], float]]:
    """Those that are known: a value that isn't is left out, as scrapers expect."""
    both = {"primary": pair[0], "replica": pair[1]}
    known: tuple[tuple[str, float | None], ...] = (
        ("ccr_link_up", float(sample.link == "up")),
        ("ccr_lag_bytes", sample.lag_bytes),
        ("ccr_marker_lag_seconds", None if sample.lag_ms is None else sample.lag_ms / 1000),
        ("ccr_last_verified_timestamp_seconds", verified),
        ("ccr_write_bytes_per_second", sample.write_rate),
        ("ccr_sample_timestamp_seconds", sample.at),
    )
    yield from ((name, both, value) for name, value in known if value is not None)
    for service, side in zip(pair, (sample.primary, sample.replica), strict=True):
        labels = {"service": service}
        yield "redis_up", labels, float(side is not None)
        if side is None:
            continue
        if side.role != "slave":
            yield "redis_master_repl_offset", labels, side.offset
            continue
        yield "redis_slave_repl_offset", labels, side.offset
        yield "redis_master_link_up", labels, float(side.link_status == "up")
        yield "redis_master_sync_in_progress", labels, float(side.sync_in_progress)
        if side.last_io_seconds is not None:
            yield "redis_master_last_io_seconds_ago", labels, side.last_io_seconds
