"""Where a promoted service came from: a name alone proves nothing."""

from typing import Any

from ccr_avn.aiven import lineage
from ccr_avn.aiven.models import Service
from tests.support.factories import HISTORY, fact, row


def service(name: str, created: str | None = "2026-08-01T09:00:00Z", **more: Any) -> Service:
    return fact(name, create_time=created, **more)


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


def recorded(old: Service, new: Service, **more: Any) -> lineage.Recorded:
    origin = lineage.Origin(name=old.name, old_created=lineage.created(old), new_created=lineage.created(new))
    return lineage.Recorded(**{"new": new.name, "origin": origin, "proven": True, **more})


def test_a_successor_is_recorded_by_tags_or_a_journal_and_by_nothing_else() -> None:
    old, first, second, fork = service("eu"), service("us1"), service("us2"), service("fork")
    tagged_one = tagged(second, *lineage.tags(old, second, HISTORY))
    every = (old, first, tagged_one, fork)
    found = lineage.successors(old, every, [recorded(old, first)])
    assert [(one.name, one.proofs, one.seen) for one in found] == [
        ("us1", (lineage.JOURNALED,), True),
        ("us2", (lineage.TAGGED,), True),
    ]
    assert lineage.successors(first, every, [recorded(old, first)]) == ()
    assert lineage.successors(service("eu", "2026-11-01T00:00:00Z"), every, [recorded(old, first)]) == ()
    assert lineage.successors(old, (service("us1", "2026-11-01T00:00:00Z"),), [recorded(old, first)]) == ()
    assert lineage.successors(old, (service("us1", None),), [recorded(old, service("us1", None))]) == ()


def test_a_deletion_that_was_sent_counts_once_its_replica_is_listed_as_one_no_more() -> None:
    old, new = service("eu"), service("us")
    sent = [recorded(old, new, proven=False)]
    [found] = lineage.successors(old, (new,), sent)
    assert not found.seen
    still = service("us", service_integrations=[row("eu", "us")])
    assert lineage.successors(old, (still,), sent) == ()
    assert lineage.successors(old, (still,), [recorded(old, new)]) != (), "its promotion was seen: the list is late"


def test_a_mark_is_of_the_very_services_that_it_was_set_for() -> None:
    old, new = service("eu"), service("us", "2026-08-02T09:00:00Z")
    word = lineage.mark(old, new, 1790000000.4)
    assert len(word.partition("=")[2]) <= 64
    [found] = lineage.marked(old, (old, tagged(new, word), service("ap")))
    assert found.is_of(old, new)
    assert (found.sent_at, found.proven, found.shown_by) == (1790000000, False, lineage.MARKED)
    assert not list(lineage.marked(service("db"), (tagged(new, word),))), "its primary is another"
    later = tagged(service("us", "2026-11-01T00:00:00Z"), word)
    assert not any(one.is_of(old, later) for one in lineage.marked(old, (later,))), "a namesake"
    assert not any(one.is_of(service("eu", "2026-11-01T00:00:00Z"), new) for one in (found,)), (
        "a namesake of its primary"
    )
    unknown = lineage.mark(service("eu", None), new, 0)
    assert not list(lineage.marked(old, (tagged(new, unknown),)))
