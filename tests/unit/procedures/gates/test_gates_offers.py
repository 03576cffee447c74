"""What Aiven does not sell, and where it can't be put, is refused before anything is billed."""

import json
from typing import Any

import pytest

from ccr_avn.aiven import models
from ccr_avn.plan.model import Finding
from ccr_avn.procedures.gates import services
from ccr_avn.procedures.gates.services import Wanted
from tests.support.factories import service

EU, US, MARS = "google-europe-west1", "aws-us-east-1", "aws-us-west-9"
PLANS: dict[str, dict[str, float | None]] = {
    "business-4": {EU: 4096.0, US: 4096.0},
    "startup-4": {EU: 4096.0},
    "startup-1": {US: 1024.0},
}
OFFERS: models.Offers = {
    ("valkey", plan, cloud): models.Offer(memory) for plan, clouds in PLANS.items() for cloud, memory in clouds.items()
}


def orders(primary: dict[str, Any] | None = None, replica: dict[str, Any] | None = None) -> tuple[Wanted, ...]:
    first = Wanted(**{"name": "eu", "plan": "business-4", "cloud": EU, **(primary or {})})
    return first, Wanted(**{"name": "us", "of": first, "plan": "startup-1", "cloud": US, **(replica or {})})


def sold(wanted: tuple[Wanted, ...], *there: dict[str, Any]) -> Finding:
    return services.are_sold(OFFERS, wanted, models.services(json.dumps(there)))


def placed(wanted: tuple[Wanted, ...], *vpcs: models.Vpc) -> Finding:
    return services.have_their_vpc(vpcs, wanted, ())


@pytest.mark.parametrize(
    ("primary", "replica", "reason", "hint"),
    [
        ({}, {"cloud": "aws-us-est-1"}, "Aiven offers no valkey in aws-us-est-1", f"({US}?)"),
        ({"cloud": MARS}, {}, f"Aiven offers no valkey in {MARS}", "avn cloud list"),
        ({}, {"plan": "startup-4"}, f"no plan startup-4 for valkey in {US}", "startup-1?"),
        ({"plan": "busines-4"}, {}, "no plan busines-4", "business-4?"),
        ({"type": "redis"}, {"type": "redis"}, "Aiven offers no redis services", "--service-type valkey"),
    ],
)
def test_what_is_not_sold_is_refused_with_what_is(
    primary: dict[str, Any], replica: dict[str, Any], reason: str, hint: str
) -> None:
    finding = sold(orders(primary, replica))
    assert finding.verdict == "stop"
    assert reason in finding.reason
    assert hint in finding.hint


def test_what_is_sold_goes_and_a_smaller_replica_is_told() -> None:
    finding = sold(orders())
    assert (finding.verdict, len(finding.warnings)) == ("go", 1)
    assert "1024 MB" in finding.warnings[0]
    assert not sold(orders(replica={"cloud": EU, "plan": "startup-4"})).warnings


def test_aiven_decides_where_that_was_asked_for() -> None:
    finding = sold(orders(replica={"plan": "custom-9", "any_plan": True}))
    assert finding.verdict == "go"
    assert "may be refused" in " ".join(finding.warnings)


def test_what_is_there_already_is_not_looked_up() -> None:
    there = service("eu", service_type="valkey")
    assert sold(orders({"plan": "retired-1"}), there).verdict == "go"
    assert not services.still_to_make(orders(), tuple(models.services(json.dumps([there, service("us")]))))


@pytest.mark.parametrize(
    ("args", "verdict"),
    [
        ((), "stop"),
        (("-c", "valkey_timeout=1"), "stop"),
        (("--no-project-vpc",), "go"),
        (("--no-project",), "go"),
        (("--project-vpc-id=v-1",), "go"),
        (("--project-vpc-id", "v-1"), "go"),
        (("--project-vpc=v-1",), "go"),
        (("--project-vpc-id=v-2",), "stop"),
        (("--project-vpc-id=v-3",), "stop"),
        (("--project-vpc-id=v-9",), "stop"),
    ],
)
def test_a_cloud_with_a_vpc_needs_a_word(args: tuple[str, ...], verdict: str) -> None:
    vpcs = (
        models.Vpc(project_vpc_id="v-1", cloud_name=US),
        models.Vpc(project_vpc_id="v-2", cloud_name=MARS),
        models.Vpc(project_vpc_id="v-3", cloud_name=US, state="APPROVED"),
    )
    finding = placed(orders(replica={"args": args}), *vpcs)
    assert finding.verdict == verdict
    assert finding.hint or verdict == "go"


def test_a_project_without_vpcs_needs_none() -> None:
    assert placed(orders()).verdict == "go"


def test_offers_are_read_as_far_as_it_can_be() -> None:
    plan = {"service_plan": "startup-4", "regions": {EU: {"node_memory_mb": 4096}, US: None}}
    told = {"valkey": {"service_plans": [plan, {"service_plan": "x", "regions": None}, 1]}, "pg": {}, "redis": None}
    read = models.offers(json.dumps(told))
    assert read == {("valkey", "startup-4", EU): models.Offer(4096.0), ("valkey", "startup-4", US): models.Offer()}
