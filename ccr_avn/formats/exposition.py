"""What `status` found as Prometheus' text, for node_exporter's textfile collector."""

import time
from collections.abc import Iterator

from ccr_avn.formats.series import Labels, Point, of_side, text
from ccr_avn.status.standing import Standing, overall
from ccr_avn.status.verdicts import WORSE


def text_of(found: tuple[Standing, ...], *, now: float | None = None) -> str:
    """``now``: seconds since 1970."""
    return text(_points(found, time.time() if now is None else now))


def _points(found: tuple[Standing, ...], at: float) -> Iterator[Point]:
    """What is missing comes first: of two words on one series the worse counts."""
    for one in sorted(found, key=lambda one: not one.pair.missing):
        yield from _of(one)
    yield Point("ccr_status_health", (), WORSE.index(overall(found)))
    yield Point("ccr_status_timestamp_seconds", (), at)


def _of(one: Standing) -> Iterator[Point]:
    pair = one.pair
    for service in pair.services:
        yield Point("ccr_service_running", (("service", service.name),), service.state == "RUNNING")
    if pair.past.is_old and pair.primary:
        for successor in pair.past.successors:
            labels = (("service", pair.primary_name), ("successor", successor))
            yield Point("ccr_old_primary_open", labels, not one.closed)
    else:
        yield Point(
            "ccr_exposures", (("primary", pair.primary_name), ("replica", pair.replica_name)), len(one.exposure)
        )
    if one.backup_age is not None:
        yield Point("ccr_backup_age_seconds", (("service", pair.primary_name),), round(one.backup_age))
    if pair.is_current:
        yield from _lost(one, (("primary", pair.past.origin), ("replica", pair.primary_name)))
    elif pair.missing:
        yield from _lost(one, (("primary", pair.primary_name), ("replica", pair.replica_name)))
    elif pair.replica_name:
        yield from _replicating(one, (("primary", pair.primary_name), ("replica", pair.replica_name)))


def _lost(one: Standing, labels: Labels) -> Iterator[Point]:
    """The series of a pair stay when it is one no more: an alert on a series that is gone never fires."""
    yield Point("ccr_health", labels, WORSE.index(one.health))
    yield Point("ccr_pair_lost", labels, 1)
    yield Point("ccr_integration_active", labels, 0)
    yield Point("ccr_link_up", labels, 0)
    if one.pair.is_current and (one.primary.side or one.primary.trouble):
        yield from of_side(one.pair.primary_name, one.primary.side)


def _replicating(one: Standing, labels: Labels) -> Iterator[Point]:
    pair = one.pair
    yield Point("ccr_health", labels, WORSE.index(one.health))
    yield Point("ccr_pair_lost", labels, 0)
    yield Point("ccr_integration_active", labels, bool(pair.row and pair.row.active))
    if one.link != "-":
        for service, look in ((pair.primary, one.primary), (pair.replica, one.replica)):
            if service:
                yield from of_side(service.name, look.side)
        yield Point("ccr_link_up", labels, one.link == "up")
    if one.lag_bytes is not None:
        yield Point("ccr_lag_bytes", labels, one.lag_bytes)
