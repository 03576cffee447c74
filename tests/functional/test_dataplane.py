"""The data plane that can't be reached, and why: every usual cause is named, with what to do."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from valkey.exceptions import NoPermissionError, ResponseError

from ccr_avn.errors import Unreachable
from ccr_avn.sandbox.options import SandboxOptions
from ccr_avn.sandbox.servers import ValkeyServers
from ccr_avn.valkey.connect import Endpoint, connect
from ccr_avn.valkey.first_write import accepts_write
from ccr_avn.valkey.info import fetch_link, fetch_replication
from ccr_avn.valkey.marker import run_marker
from ccr_avn.valkey.server_facts import read_server_facts
from tests.support.operator import Make, Operator
from tests.support.pairs import paired


@pytest.fixture
def servers() -> Iterator[ValkeyServers]:
    made = ValkeyServers(SandboxOptions())
    yield made
    made.close()


def endpoint(servers: ValkeyServers, name: str, password: str = "pw", **more: object) -> Endpoint:
    port = servers.start(name, password, 100, None)
    return Endpoint(service=name, uri=f"valkey://default:{password}@127.0.0.1:{port}", timeout=1.0, **more)  # type: ignore[arg-type]


def refusal(given: Endpoint) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        connect(given)
    assert caught.value.hint
    return caught.value


def test_a_refused_connection(servers: ValkeyServers) -> None:
    given = endpoint(servers, "eu")
    servers.kill("eu")
    error = refusal(given)
    assert error.passing
    assert "refused" in error.what
    assert "ip_filter" in error.hint


def test_a_frozen_server(servers: ValkeyServers) -> None:
    given = endpoint(servers, "eu")
    servers.freeze("eu")
    error = refusal(given)
    assert error.passing
    assert "no answer" in error.what


def test_a_wrong_password_is_not_shown(servers: ValkeyServers) -> None:
    given = endpoint(servers, "eu")
    wrong = Endpoint(service="eu", uri=given.uri.replace("pw@", "wrong-secret@"))
    error = refusal(wrong)
    assert not error.passing
    assert "wrong-secret" not in f"{error} {error.detail} {error.hint} {wrong!r}"


def test_a_name_nobody_knows() -> None:
    assert "VPC" in refusal(Endpoint(service="eu", uri="valkey://default:pw@eu.invalid:1")).what


def test_an_address_that_is_none() -> None:
    assert not refusal(Endpoint(service="eu", uri="http://127.0.0.1")).passing


def test_a_connection_cut_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        given = Endpoint(service="eu", uri=f"redis://default:pw@127.0.0.1:{port}", timeout=0.3)
        assert refusal(given).passing


def test_a_disabled_command_is_a_refusal(servers: ValkeyServers) -> None:
    with connect(endpoint(servers, "eu")) as client, pytest.raises(NoPermissionError):
        client.execute_command("CONFIG", "GET", "maxmemory")


def test_a_replica_is_seen_as_one_and_markers_go_through(servers: ValkeyServers) -> None:
    primary = endpoint(servers, "eu")
    port = servers.start("us", "pw", 100, "eu")
    replica = Endpoint(service="us", uri=f"redis://default:pw@127.0.0.1:{port}")
    result = run_marker(primary, replica, samples=5)
    assert result.arrived == 5
    assert 0 < result.minimum <= result.median <= result.maximum
    link = fetch_link(primary, replica)
    assert (link.replica.role, link.replica.link_status) == ("slave", "up")
    assert link.primary.replid == link.replica.replid
    assert read_server_facts(replica).modules == {"lua": 1}
    with connect(primary) as client:
        assert client.keys("ccr-avn:*") == []
    servers.promote("us")
    assert fetch_replication(replica).was_promoted


def test_an_error_that_an_application_made_up_says_nothing_of_replication(servers: ValkeyServers) -> None:
    """Until the server is started again INFO repeats it, and what ends a line elsewhere ends none there."""
    given = endpoint(servers, "eu")
    forged = ("\x0bmaster_repl_offset", "\x0crole", "\x1crun_id", "\x85master_replid", "\u2028db0", "\nmaster_replid2")
    with connect(given) as client:
        for field in ("Y", *forged):
            before = fetch_replication(given)
            with pytest.raises(ResponseError):
                client.eval("return {err=ARGV[1]}", 0, f"X{field} hi")
    now, before = (
        replace(side, used_memory=0, client_buffers=0) for side in (fetch_replication(given), before)
    )  # they are of the moment
    assert now == before
    assert accepts_write(given)


def test_a_marker_that_does_not_arrive_is_missed(servers: ValkeyServers) -> None:
    result = run_marker(endpoint(servers, "eu"), endpoint(servers, "us"), samples=3, timeout=0.2)
    assert (result.arrived, result.maximum, result.median) == (0, 0.0, 0.0)


def test_a_marker_that_the_primary_refuses_is_told_with_its_reason(servers: ValkeyServers) -> None:
    """It is no marker that was lost on its way."""
    primary, replica = endpoint(servers, "eu"), endpoint(servers, "us")
    with servers.admin("eu") as admin:
        admin.config_set("min-replicas-to-write", 1)
    with pytest.raises(Unreachable, match="too few replicas") as caught:
        run_marker(primary, replica, samples=3)
    assert "NOREPLICAS" in caught.value.detail


def test_tls_is_verified_against_the_projects_ca(make: Make) -> None:
    operator = paired(make(tls=True))
    operator.avn("project", "ca-get", "--target-filepath", "ca.pem")
    untrusted = operator.ccr("verify", "eu", "us")
    assert untrusted.code == 6, untrusted.err
    assert "ca-get" in untrusted.err
    done = operator.ccr("verify", "eu", "us", "--ca-file", "ca.pem")
    assert done.code == 0, done.err


def test_tls_that_is_for_another_name_or_not_there(tls_options: dict[str, Path]) -> None:
    servers = ValkeyServers(SandboxOptions(**tls_options))  # type: ignore[arg-type]  # paths by their options' names
    try:
        port = servers.start("eu", "pw", 100, None)
        ca_file = tls_options["tls_ca"]
        with connect(Endpoint(service="eu", uri=f"valkeys://default:pw@localhost:{port}", ca_file=ca_file)) as client:
            assert client.ping()
        plain = Endpoint(service="eu", uri=f"rediss://default:pw@127.0.0.2:{port}", ca_file=ca_file, timeout=1)
        assert "another name" not in refusal(plain).what
    finally:
        servers.close()


def test_a_redacted_password_is_explained(make: Make) -> None:
    operator = paired(make(redact=True))
    done = operator.ccr("verify", "eu", "us")
    assert done.code == 6
    assert "service:secrets:read" in done.err
    assert operator.enable("--no-verify").code == 0


@pytest.mark.slow  # a refused connection is tried again for a while
def test_an_ip_filter_is_named(operator: Operator) -> None:
    paired(operator)
    operator.sandbox.platform.update("us", {"user_config": {"ip_filter": ["10.0.0.0/8"]}})
    done = operator.ccr("verify", "eu", "us", "--link-timeout", "0")
    assert done.code == 6
    assert "ip_filter" in done.err


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_any_scheme_will_do(make: Make, scheme: str) -> None:
    operator = paired(make(uri_scheme=scheme))
    assert operator.ccr("verify", "eu", "us").code == 0


def test_verify_refuses_what_is_no_pair(operator: Operator) -> None:
    paired(operator)
    assert operator.ccr("verify", "us", "eu").code == 4
    gone = operator.ccr("verify", "eu", "nobody", "--json")
    assert gone.code == 4
    assert "nobody does not exist" in gone.err
    operator.avn("service", "update", "us", "--power-off")
    assert "--power-on" in operator.ccr("verify", "eu", "us").err
