"""What a new primary would lack is shown before the question, with commands that make both sides equal."""

import json
from typing import Any

import pytest

from ccr_avn.valkey.server_facts import read_pair_facts
from tests.support.operator import Ended, Operator
from tests.support.pairs import client
from tests.support.servers import Serve, binaries

LIBRARY = "#!lua name=counting\nredis.register_function('one', function() return {} end)"


def checked(pair: Operator) -> list[dict[str, Any]]:
    done = pair.ends(0, "switchover", "eu", "us", "--check", "--json")
    return [one for one in json.loads(done.out)["result"]["differences"] if one["topic"] != "plan"]


def exposed(done: Ended) -> dict[str, str]:
    """The risks that remain, each with what fixes it."""
    assert done.code == 0, done.err
    return {one["what"]: one["fix"] for one in json.loads(done.out)["result"]["risks"]}


def test_what_is_printed_makes_both_sides_equal(pair: Operator) -> None:
    assert checked(pair) == []
    rights = ("--valkey-acl-keys=app:*", "--valkey-acl-categories=-@all +@read", "--valkey-acl-commands=+get")
    pair.avn("service", "user-create", "eu", "--username", "app", *rights)
    pair.avn("service", "user-create", "us", "--username", "app", "--valkey-acl-keys=*")
    pair.avn("service", "update", "eu", "-c", "valkey_timeout=60", "-c", 'ip_filter=["127.0.0.1/32"]')
    with client(pair, "eu") as one:
        one.eval("return 1", 0)
    found = {f"{one['topic']} {one['name']}".strip(): one["fix"] for one in checked(pair)}
    assert set(found) == {"user app", "password app", "setting valkey_timeout", "setting ip_filter", "script"}
    warned = pair.ccr("switchover", "eu", "us", "--check")
    assert "warning: valkey_timeout: eu has 60, us has 300; to fix: avn service update us" in warned.err
    for fix in found.values():
        if fix.startswith("avn "):
            assert pair.pastes(fix).code == 0, fix
    assert [one["topic"] for one in checked(pair)] == ["password", "script"]


def test_the_risks_that_remain_name_what_still_differs(pair: Operator) -> None:
    pair.avn("service", "update", "eu", "-c", "valkey_timeout=60", "--enable-termination-protection")
    risks = exposed(pair.ccr("switchover", "eu", "us", "--yes", "--json"))
    assert "-c valkey_timeout=60" in risks["valkey_timeout: eu has 60, us has 300"]
    assert "--enable-termination-protection" in risks["termination protection: eu has it, us does not"]
    again = exposed(pair.ccr("switchover", "eu", "us", "--yes", "--json"))
    for what in (*risks, *again):
        assert not what.startswith("ip_filter"), "that eu was closed is no difference to be fixed"


def test_a_failover_tells_what_differs_and_the_printed_power_off_works(pair: Operator) -> None:
    pair.avn("service", "update", "eu", "-c", "valkey_timeout=60", "--enable-termination-protection")
    pair.sandbox.servers.kill("eu")
    check = pair.ccr("failover", "us", "--allow-data-loss", "--check")
    assert "warning: valkey_timeout: eu has 60, us has 300" in check.out
    risks = exposed(pair.ccr("failover", "us", "--allow-data-loss", "--yes", "--json"))
    assert "valkey_timeout: eu has 60, us has 300" in risks
    assert pair.pastes(next(fix for what, fix in risks.items() if "not fenced" in what)).code == 0
    assert not pair.sandbox.platform.services["eu"].powered


@pytest.mark.parametrize("binary", binaries())
def test_servers_tell_their_functions_scripts_and_clocks(serve: Serve, binary: str) -> None:
    old, new = serve("eu", binary=binary), serve("us", binary=binary)
    old.admin.execute_command("FUNCTION", "LOAD", LIBRARY.format(1))
    new.admin.execute_command("FUNCTION", "LOAD", LIBRARY.format(2))
    old.admin.eval("return 1", 0)
    planes = read_pair_facts(old.endpoint(), new.endpoint())
    before, after = planes.primary, planes.replica
    assert [set(one.libraries or ()) for one in (before, after)] == [{"counting"}, {"counting"}]
    assert before.libraries != after.libraries
    assert (before.side.libraries, before.side.cached_scripts, after.side.cached_scripts) == (1, 1, 0)
    assert abs(planes.skew) < 1, "they share one machine's clock"
    limited = old.user("limited", "~*", "+@all", "-function")
    assert read_pair_facts(limited, new.endpoint()).primary.libraries is None
