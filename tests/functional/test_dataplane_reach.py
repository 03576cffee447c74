"""Connections, links, markers, databases and first writes on real servers: what goes wrong is named, with what to do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import valkey
from valkey.exceptions import ResponseError

from ccr_avn.errors import NotProven, Unreachable
from ccr_avn.valkey.connect import admission, connect, explained
from ccr_avn.valkey.diagnose import Answered
from ccr_avn.valkey.fence import Fence
from ccr_avn.valkey.marker import PREFIX, accepts_write, marker_age, run_marker
from ccr_avn.valkey.server_facts import fetch_replication, read_databases
from ccr_avn.valkey.writers import LastConnection
from tests.functional.compare_pair import Pair
from tests.support.held import in_force
from tests.support.operator import Make
from tests.support.pairs import paired
from tests.support.servers import PASSWORD, Serve, Server, binaries
from tests.support.wait import until


@pytest.fixture
def primary(serve: Serve) -> Server:
    return serve("eu")


def trouble(act: Callable[[], object]) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        act()
    error = caught.value
    assert error.hint
    assert PASSWORD not in f"{error!r} {error} {error.detail} {error.hint}"
    return error


@pytest.mark.parametrize("binary", binaries())
def test_what_refuses_to_serve_can_be_looked_at(serve: Serve, binary: str) -> None:
    primary = serve("eu", binary=binary)
    replica = serve("us", "--replica-serve-stale-data", "no", binary=binary)
    replica.admin.execute_command("REPLICAOF", "127.0.0.1", 1)
    never = fetch_replication(replica.endpoint())
    assert (never.role, never.has_a_copy) == ("slave", False)
    replica.follow(primary)
    primary.kill()
    until(lambda: fetch_replication(replica.endpoint()).link_status == "down", "the link to break")
    assert fetch_replication(replica.endpoint()).has_a_copy
    assert "lost its primary" in trouble(lambda: marker_age(replica.endpoint())).what


def test_no_answer_and_nobody_there(primary: Server) -> None:
    primary.freeze()
    assert "no answer" in trouble(lambda: connect(primary.endpoint(timeout=0.3))).what
    primary.kill()
    refused = trouble(lambda: connect(primary.endpoint()))
    assert ("refused" in refused.what, "ip_filter" in refused.hint, refused.passing) == (True, True, True)


def test_too_few_replicas_is_said_and_not_waited_for_in_silence(serve: Serve) -> None:
    """A marker that the primary refuses is none that was lost on its way."""
    alone, other = serve("new", "--min-replicas-to-write", "1").endpoint(), serve("us").endpoint()
    for act in (lambda: accepts_write(alone), lambda: run_marker(alone, other, samples=1)):
        error = trouble(act)
        assert ("too few replicas" in error.what, "NOREPLICAS" in error.detail, error.passing) == (True, True, True)


def test_a_command_without_an_answer_is_not_sent_again(primary: Server) -> None:
    endpoint = primary.endpoint(timeout=0.2)
    with connect(endpoint) as client:

        def count() -> None:
            with explained(endpoint, connected=True):
                client.incr("n")

        primary.freeze()
        error = trouble(count)
        primary.thaw()
        assert "stopped answering" in error.what
        until(lambda: primary.admin.get("n"), "the command to be executed all the same")
        count()
    assert primary.admin.get("n") == b"2"


def test_passwords(primary: Server) -> None:
    given = primary.endpoint()
    wrong = trouble(lambda: connect(primary.endpoint(password="not-the-one")))
    assert "refused" in wrong.what
    none = trouble(lambda: connect(replace(given, uri=f"redis://127.0.0.1:{primary.port}")))
    assert "requires a password" in none.what
    assert not any(error.passing for error in (wrong, none))
    assert isinstance(wrong, Answered)
    assert admission(primary.endpoint(password="not-the-one")).state == "open", "somebody with another password gets in"


def test_a_user_with_few_rights(primary: Server) -> None:
    few = primary.user("few", "~app:*", "+@all", "-info")
    assert "lacks the permission" in trouble(lambda: fetch_replication(few)).what
    assert "lacks the permission" in trouble(lambda: run_marker(few, few, samples=1)).what
    assert "lacks the permission" in trouble(lambda: accepts_write(few)).what


def test_too_many_clients(serve: Serve) -> None:
    full = serve("full", "--maxclients", "2")
    with connect(full.endpoint()):
        for ask in (connect, fetch_replication):
            error = trouble(lambda ask=ask: ask(full.endpoint()))  # type: ignore[misc]  # bound at once
            assert "maximum number of clients" in error.what
            assert error.passing


def test_tls(tls_server: Server, tmp_path: Path) -> None:
    trusted = tls_server.endpoint(ca_file=tls_server.ca_file)
    assert fetch_replication(trusted).role == "master"
    assert run_marker(trusted, trusted, samples=3).arrived == 3
    with in_force(Fence(trusted, "test", 10)) as fence:
        assert fence.holds()
    assert "--ca-file" in trouble(lambda: connect(tls_server.endpoint())).hint
    other = trouble(lambda: connect(tls_server.endpoint(host="127.1", ca_file=tls_server.ca_file)))
    assert "another name" in other.what
    assert trouble(lambda: connect(tls_server.endpoint(scheme="redis", timeout=0.5))).hint
    assert "can't be used" in trouble(lambda: connect(tls_server.endpoint(ca_file=tmp_path / "none.pem"))).what


def test_markers_that_are_refused(primary: Server, serve: Serve) -> None:
    replica = serve("us")
    replica.follow(primary)
    result = run_marker(primary.endpoint(), replica.endpoint(), samples=4)
    assert result.arrived == 4
    assert 0 < result.spread[0] <= result.spread[1] <= result.spread[2]
    assert primary.admin.keys("ccr-avn:*") == []
    read_only = trouble(lambda: run_marker(replica.endpoint(), replica.endpoint(), samples=1))
    assert "it is a replica" in read_only.what
    primary.admin.set("big", "x" * 3_000_000)
    primary.admin.config_set("maxmemory", 1_000_000)
    full = trouble(lambda: run_marker(primary.endpoint(), replica.endpoint(), samples=1))
    assert "noeviction" in full.what
    primary.admin.config_set("maxmemory", 0)
    with in_force(Fence(primary.endpoint(), "test", 10)):
        held = trouble(lambda: run_marker(primary.endpoint(timeout=0.2), replica.endpoint(), samples=1))
    assert "its writes are paused" in held.what


def test_a_marker_that_the_primary_drops_is_not_blamed_on_the_link(primary: Server, serve: Serve) -> None:
    stranger = serve("us")
    with pytest.raises(NotProven, match="dropped a marker"):
        run_marker(primary.endpoint(), stranger.endpoint(), samples=1, timeout=0.2, ttl=0.05)
    assert run_marker(primary.endpoint(), stranger.endpoint(), samples=1, timeout=0.1).arrived == 0
    assert primary.admin.keys(f"{PREFIX}*") == []


def test_a_write_is_accepted_by_a_primary_only(primary: Server, serve: Serve) -> None:
    replica = serve("us")
    replica.follow(primary)
    for read_only in ("no", "yes"):
        replica.admin.config_set("replica-read-only", read_only)
        assert not accepts_write(replica.endpoint())
    replica.promote()
    promoted = accepts_write(replica.endpoint())
    assert promoted is not None
    assert promoted.was_promoted
    assert replica.admin.keys(f"{PREFIX}*") == []


def test_who_is_left_is_seen_by_a_connection_from_before(primary: Server) -> None:
    """Also where the service ends idle connections after a second, and whoever is cut comes back."""
    primary.admin.config_set("timeout", 1)
    primary.admin.connection_pool.disconnect()
    kept = LastConnection(primary.endpoint())
    with valkey.Valkey(port=primary.port, password=PASSWORD, client_name="app") as writer:
        writer.ping()
        [client] = kept.read().clients
        assert client.startswith("app at ")
        number = writer.client_id()
        kept.cut_others()
        assert kept.read().clients == ()
        assert writer.client_id() != number
    assert kept.read(frozenset({"somebody else"})).clients == ()
    until(lambda: int(primary.admin.info("stats")["total_commands_processed"]) > 30, "the keep-alive to have gone on")
    assert not kept.read().cut
    assert kept.last is not None
    primary.admin.client_kill_filter(_type="normal", skipme=True)
    assert kept.read().cut
    assert kept.read().cut, "once cut, always cut"
    kept.close()


def test_silence_is_no_cut(primary: Server) -> None:
    kept = LastConnection(primary.endpoint(timeout=0.3), timeout=0.3)
    primary.freeze()
    with pytest.raises(Unreachable):
        kept.read()
    primary.thaw()
    until(lambda: not kept.read().cut, "the connection to answer again")
    primary.kill()
    assert kept.read().cut
    kept.close()


def test_an_error_that_an_application_made_up_says_nothing_of_replication(serve: Serve) -> None:
    """Until the server is started again INFO repeats it, and what ends a line elsewhere ends none there."""
    given = serve("eu").endpoint()
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


def test_tls_is_verified_against_the_projects_ca(make: Make) -> None:
    operator = paired(make(tls=True))
    operator.avn("project", "ca-get", "--target-filepath", "ca.pem")
    operator.ends(6, "verify", "eu", "us", says="ca-get")
    operator.ends(0, "verify", "eu", "us", "--ca-file", "ca.pem")


def test_a_redacted_password_is_explained(make: Make) -> None:
    operator = paired(make(redact=True))
    operator.ends(6, "verify", "eu", "us", says="service:secrets:read")
    assert operator.enable("--no-verify").code == 0


@pytest.fixture
def uneven(serve: Serve) -> Pair:
    """A primary with more databases than its replica."""
    made = Pair(serve("eu", "--databases", "200"), serve("us", "--databases", "16"))
    made.link()
    return made


def test_what_a_replica_lacks_is_seen_and_can_not_be_compared(uneven: Pair) -> None:
    """What can't pass by waiting is told at once."""
    uneven.primary.database(15).set("key", "v")
    uneven.settled()
    found = read_databases(*uneven.ends().values())
    assert (found.used, found.refused, found.primary, found.replica) == ((15,), (), 200, 16)
    uneven.primary.database(100).set("key", "v")
    uneven.settled()
    found = read_databases(*uneven.ends().values())
    assert (found.used, [number for number, _ in found.refused]) == ((15, 100), [100])
    with pytest.raises(Unreachable, match="database 100") as caught:
        uneven.compare(level="keys")
    assert not caught.value.passing


@pytest.mark.parametrize(("database", "refused"), [(0, []), (3, [3])])
def test_a_user_that_may_not_select_shows_nothing_unless_only_the_first_is_used(
    uneven: Pair, database: int, refused: list[int]
) -> None:
    uneven.primary.database(database).set("key", "v")
    uneven.settled()
    hidden = uneven.replica.user("hidden", "~*", "+@all", "-select")
    found = read_databases(uneven.primary.endpoint(), hidden)
    assert ([number for number, _ in found.refused], found.replica) == (refused, 0)
