"""Where a promoted service came from: a name alone proves nothing."""

from typing import Any

from ccr_avn.aiven import lineage
from ccr_avn.aiven.models import Service

HISTORY = "a" * 40


def service(name: str, created: str | None = "2026-08-01T09:00:00Z", **more: Any) -> Service:
    facts = {"service_type": "valkey", "state": "RUNNING", "plan": "startup-4", "cloud_name": "aws-us-east-1"}
    return Service.model_validate({"service_name": name, "create_time": created, **facts, **more})


def tagged(new: Service, *words: str) -> Service:
    return new.model_copy(update={"tags": dict(word.split("=", 1) for word in words)})


def test_what_was_tagged_is_found_again() -> None:
    old, new = service("eu"), service("us", "2026-08-02T09:00:00.123Z")
    words = lineage.tags(old, new, HISTORY)
    assert all(len(word.split("=", 1)[1]) <= 64 for word in words)
    promoted = tagged(new, *words)
    origin = lineage.origin_of(promoted)
    assert origin is not None
    assert origin.replication_id == HISTORY
    assert lineage.is_origin(origin, old, promoted)
    assert lineage.promoted_from(promoted, (service("ap"), old)) == old


def test_a_namesake_made_later_is_not_the_origin() -> None:
    old, new = service("eu"), service("us")
    promoted = tagged(new, *lineage.tags(old, new, HISTORY))
    assert lineage.promoted_from(promoted, (service("eu", "2026-11-01T00:00:00Z"),)) is None
    copied = tagged(service("us", "2026-11-01T00:00:00Z"), *lineage.tags(old, new, HISTORY))
    assert lineage.promoted_from(copied, (old,)) is None


def test_a_tag_without_creation_times_names_but_proves_nothing() -> None:
    old, new = service("eu", None), service("us")
    words = lineage.tags(old, new, HISTORY)
    assert words == ("ccr_promoted_from=eu", "ccr_promoted_lineage=unknown")
    promoted = tagged(new, *words)
    origin = lineage.origin_of(promoted)
    assert origin is not None
    assert origin.name == "eu"
    assert not lineage.is_origin(origin, old, promoted)


def test_odd_tags_are_none() -> None:
    assert lineage.origin_of(service("us")) is None
    assert lineage.origin_of(tagged(service("us"), "ccr_promoted_from=")) is None
    odd = lineage.origin_of(tagged(service("us"), "ccr_promoted_from=eu", "ccr_promoted_lineage=what"))
    assert odd == lineage.Origin(name="eu")
