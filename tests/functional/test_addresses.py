"""Addresses that lead to another server than their service's: nothing is believed of it, written down or tagged."""

from pathlib import Path

import pytest

from tests.support.operator import EU, Operator
from tests.support.pairs import add_service, origin, paired


def leads_to(pair: Operator, name: str, other: str) -> None:
    """The address that Aiven shows for a service is the one of another."""
    services = pair.sandbox.platform.services
    services[name].port, services[name].password = services[other].port, services[other].password


@pytest.fixture
def pair(operator: Operator) -> Operator:
    add_service(operator, "other", "startup-4", EU)
    return paired(operator)


@pytest.mark.parametrize(("name", "other"), [("eu", "us"), ("us", "eu")])
def test_two_addresses_of_one_server_prove_nothing(pair: Operator, name: str, other: str) -> None:
    leads_to(pair, name, other)
    before = pair.sandbox.changes()
    for words, code in ((("verify", "eu", "us", "--level", "link"), 6), (("switchover", "eu", "us", "--yes"), 4)):
        pair.ends(code, *words, says="lead to the same server")
    assert pair.sandbox.changes() == before


def test_a_server_that_is_compared_with_itself_is_not_called_equal(pair: Operator) -> None:
    leads_to(pair, "us", "eu")
    pair.ends(6, "verify", "eu", "us", "--unlinked", "--level", "values", says="lead to the same server")


def test_a_replica_whose_address_leads_to_another_master(pair: Operator, tmp_path: Path) -> None:
    leads_to(pair, "us", "other")
    env, before = tmp_path / "env", pair.sandbox.changes()
    pair.ends(
        4,
        "failover",
        "us",
        "--allow-data-loss",
        "--yes",
        "--write-env",
        str(env),
        says="is a master, though its integration is still listed",
    )
    assert (env.exists(), origin(pair), pair.sandbox.changes()) == (False, None, before)


def test_a_promoted_service_whose_address_leads_to_another_master(pair: Operator, tmp_path: Path) -> None:
    """Its tag says that it was promoted, and nothing of the server that answers there now."""
    assert pair.ccr("switchover", "eu", "us", "--yes", "--old-primary", "open").code == 0
    assert origin(pair) == "eu"
    leads_to(pair, "us", "other")
    env = tmp_path / "env"
    done = pair.ccr("switchover", "eu", "us", "--yes", "--write-env", str(env))
    assert (done.code % 10, env.exists()) == (4, False), done.err
    assert "us does not have the data of eu" in done.err
