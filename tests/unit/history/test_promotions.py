"""What an earlier run noted is taken from the checks that noted it, whatever other steps call by the same name."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.aiven import lineage, models
from ccr_avn.history import journals, records
from ccr_avn.plan.events import ChangeStarted
from ccr_avn.plan.model import stop
from tests.support import factories
from tests.unit.history.journals import DELETE, IP_FILTER, RUN, done, looked, started, write

BORN = {"eu": 1_767_000_000, "us": 1_767_000_060}


def named(name: str) -> models.Service:
    born = datetime.fromtimestamp(BORN[name], UTC).isoformat()
    return models.services(json.dumps([factories.service(name, create_time=born)]))[0]


def noted(where: Path, *others: Any, command: str = "switchover", after: tuple[Any, ...] = ()) -> None:
    """A run that promoted us; ``others``: steps before that."""
    notes = [
        done("pair", 0.1, created=BORN, ip_filter=IP_FILTER),
        done("health", 0.2, follows="eu", replication_id=factories.HISTORY),
    ]
    sent = ChangeStarted(at=0.9, slug="promote", argv=DELETE, final=True)
    promoted = done("promote", 1.0, "its role is master", "changed")
    write(where, RUN, [started(RUN, command), *notes, *others, sent, promoted, *after])


@pytest.mark.parametrize(
    "other", [{"ip_filter": ["10.1.0.0/16"]}, {"created": {}}, {"follows": "asia"}, {"replication_id": "b" * 40}]
)
def test_another_steps_fact_of_the_same_name_is_its_own(where: Path, other: dict[str, Any]) -> None:
    noted(where, done("running", 0.5, **other))
    found = journals.JournalsHere("p").filter_before(named("eu"), ["192.0.2.1/32"])
    assert found == (IP_FILTER,)
    (recorded,) = journals.JournalsHere("p").promotions
    assert recorded.new == "us"
    assert (recorded.origin.name, recorded.origin.old_created) == ("eu", BORN["eu"])
    assert recorded.origin.replication_id == factories.HISTORY
    [later] = lineage.successors(named("eu"), (named("eu"), named("us")), [recorded])
    assert (later.name, later.proofs, later.seen) == ("us", (lineage.JOURNALED,), True), "and never the old one itself"
    assert journals.JournalsHere("other").promotions == ()


def test_what_a_drill_promoted_took_over_from_nobody(where: Path) -> None:
    noted(where, done("last-known", 0.3, follows="eu", replication_id=factories.HISTORY), command="drill")
    assert journals.JournalsHere("p").promotions == ()


def test_a_closed_filter_is_not_the_one_from_before(where: Path) -> None:
    write(where, RUN, [started(RUN), done("pair", 0.1, created=BORN, ip_filter=["192.0.2.1/32"])])
    assert journals.JournalsHere("p").filter_before(named("eu"), ["192.0.2.1/32"]) is None


def test_of_many_runs_that_changed_nothing_none_is_read_whole(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever verifies a pair every few minutes has many; a switchover asks for all of them."""
    noted(where)
    for number in range(50):
        run = f"20260103T030405Z-{number:06}"
        write(where, run, [started(run), done("pair", 0.1, created=BORN), done("link", 0.2)])
    read: list[str] = []
    whole = records.read

    def counted(path: Path) -> Any:
        read.append(path.stem)
        return whole(path)

    monkeypatch.setattr(journals, "read", counted)
    assert len(journals.JournalsHere("p").promotions) == 1
    assert journals.JournalsHere("p").filter_before(named("eu"), []) == (IP_FILTER,)
    assert journals.JournalsHere("p").ahead_before(named("eu"), named("us")) is None
    assert set(read) == {RUN}


@pytest.mark.parametrize("slug", ["history", "accepts-writes"])
def test_a_replica_that_came_back_without_its_data_took_over_from_nobody(where: Path, slug: str) -> None:
    """Exit 14: the old primary goes on, and another replica of it may be promoted later."""
    noted(where, after=(looked(slug, 1.1, stop("us does not have the data of eu", hint="keep eu")),))
    [recorded] = journals.JournalsHere("p").promotions
    assert recorded.without_data
    assert lineage.successors(named("eu"), (named("us"),), [recorded]) == ()
