"""Pairs as status sees them, from plain values: services with a past, judged at one moment; and their metrics."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from ccr_avn.aiven import lineage, models
from ccr_avn.aiven.avn import Project
from ccr_avn.monitoring.collect import Look, Looks
from ccr_avn.monitoring.health import pair_statuses
from ccr_avn.monitoring.pairs import Pair
from ccr_avn.monitoring.prometheus import text_of
from ccr_avn.monitoring.status import Known, PairStatus
from ccr_avn.procedures.gates.settings import NOBODY
from ccr_avn.procedures.setting import Journals, Setting
from tests.support.factories import HISTORY, row, service, side

NOW = datetime(2026, 8, 2, 12, tzinfo=UTC)
CLOSED: dict[str, Any] = {"user_config": {"ip_filter": [NOBODY]}}

MASTER = {name: Look(side=side("master")) for name in ("eu", "us", "asia")}
ALONE = {"us": Look(side=side("master")), "eu": Look(trouble="eu: no answer", refused=True)}
UNASKED: Looks = {}
UNWRITTEN = Journals()


def made(name: str, day: int, *rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A service that was created on that day."""
    return service(name, *rows, create_time=f"2026-01-{day:02}T00:00:00Z", **more)


def promoted(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """``new`` with the tags that a promotion from ``old`` leaves."""
    before, after = models.services(json.dumps([old, new]))
    words = lineage.tags(before, after, HISTORY)
    return {**new, "tags": dict(word.split("=") for word in words)}


def failed_over(**old: Any) -> tuple[dict[str, Any], ...]:
    """eu was the primary of us, which was promoted."""
    eu = made("eu", 1, **old)
    return eu, promoted(made("us", 2), eu)


def linked(primary: str = "p0", replica: str = "r0", **more: Any) -> tuple[dict[str, Any], ...]:
    """A pair that is well."""
    shared = row(primary, replica, **more)
    return made(primary, 3, shared), made(replica, 4, shared)


def judged(
    pairs: tuple[Pair, ...], looks: Looks = UNASKED, *, among: Any = (), journals: Journals = UNWRITTEN, **known: Any
) -> dict[str, PairStatus]:
    """By the name of the pair. ``known``: as in `Known`."""
    at = Setting(project=Project("p"), now=NOW.timestamp(), journals=journals)
    against = Known(at=at, **known)
    return {one.pair.name: one for one in pair_statuses(pairs, looks, against, among=among)}


def metrics(found: Iterable[PairStatus]) -> dict[tuple[str, ...], float]:
    """By the name and the values of the labels, in the order of the labels' names and without the project."""
    families = text_string_to_metric_families(text_of(tuple(found), "p"))
    samples = [one for family in families for one in family.samples]
    assert {one.labels.pop("project") for one in samples} == {"p"}
    values = {(one.name, *(value for _, value in sorted(one.labels.items()))): one.value for one in samples}
    assert len(values) == len(samples), "no series twice"
    return values
