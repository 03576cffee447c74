"""A watch's last sample for Prometheus to scrape."""

from collections.abc import Iterator

from ccr_avn.errors import UsageError
from ccr_avn.formats.series import Collector, Labels, Point, of_side
from ccr_avn.watch.sample import Sample


class Metrics:
    """Serves the last sample until :meth:`close`. ``port`` 0: any that is free; ``url`` tells which."""

    def __init__(self, pair: tuple[str, str], address: str, port: int) -> None:
        """Raises: UsageError: the address can't be listened on."""
        from prometheus_client import CollectorRegistry, start_http_server

        self.verified: float | None = None
        self.sample: Sample | None = None
        self._pair = pair
        registry = CollectorRegistry()
        registry.register(Collector(self.points))
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

    def points(self) -> Iterator[Point]:
        """Those that are known: a value that isn't is left out, as scrapers expect."""
        sample = self.sample
        if sample is None:
            return
        labels: Labels = (("primary", self._pair[0]), ("replica", self._pair[1]))
        known: tuple[tuple[str, float | None], ...] = (
            ("ccr_link_up", sample.link == "up"),
            ("ccr_pair_lost", sample.link == "follows nobody"),
            ("ccr_lag_bytes", sample.lag_bytes),
            ("ccr_marker_lag_seconds", None if sample.lag_ms is None else sample.lag_ms / 1000),
            ("ccr_last_verified_timestamp_seconds", self.verified),
            ("ccr_write_bytes_per_second", sample.write_rate),
            ("ccr_sample_timestamp_seconds", sample.at),
        )
        yield from (Point(name, labels, value) for name, value in known if value is not None)
        for service, side in zip(self._pair, (sample.primary, sample.replica), strict=True):
            yield from of_side(service, side)
