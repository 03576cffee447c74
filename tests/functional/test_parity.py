"""What a new primary would lack is shown before the question, with commands that make both sides equal."""

import json
import subprocess
from typing import Any

import pytest
import valkey

from ccr_avn.valkey.server_facts import read_pair_facts
from tests.support import servers
from tests.support.operator import Operator
from tests.support.pairs import paired
from tests.support.servers import Serve, binaries

serve = servers.serve

LIBRARY = "#!lua name=counting\nredis.register_function('one', function() return {} end)"


@pytest.fixture
def pair(operator: Operator) -> Operator:
    return paired(operator)


def checked(pair: Operator) -> list[dict[str, Any]]:
    done = pair.ccr("switchover", "eu", "us", "--check", "--json")
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)["result"]["differences"]
    return [one for one in found if one["topic"] != "plan"]


def uri(pair: Operator, name: str) -> str:
    told: str = json.loads(pair.avn("service", "get", name, "--json").out)["service_uri"]
    return told.replace("valkeys:", "rediss:").replace("valkey:", "redis:")


def test_what_is_printed_makes_both_sides_equal(pair: Operator) -> None:
    assert checked(pair) == []
    rights = ("--valkey-acl-keys=app:*", "--valkey-acl-categories=-@all +@read", "--valkey-acl-commands=+get")
    pair.avn("service", "user-create", "eu", "--username", "app", *rights)
    pair.avn("service", "user-create", "us", "--username", "app", "--valkey-acl-keys=*")
    pair.avn("service", "update", "eu", "-c", "valkey_timeout=60", "-c", 'ip_filter=["127.0.0.1/32"]')
    with valkey.Valkey.from_url(uri(pair, "eu")) as client:
        client.eval("return 1", 0)
    found = {(one["topic"], one["name"]): one for one in checked(pair)}
    assert {
        ("user", "app"),
        ("password", "app"),
        ("setting", "valkey_timeout"),
        ("setting", "ip_filter"),
        ("script", ""),
    } == set(found)
    warned = pair.ccr("switchover", "eu", "us", "--check")
    assert "warning: valkey_timeout: eu has 60, us has 300; to fix: avn service update us" in warned.err
    for one in found.values():
        if one["fix"].startswith("avn "):
            typed = subprocess.run(["bash", "-c", one["fix"]], env=pair.environment(), capture_output=True, check=False)
            assert typed.returncode == 0, (one["fix"], typed.stderr)
    assert [one["topic"] for one in checked(pair)] == ["password", "script"]


def test_the_risks_that_remain_name_what_still_differs(pair: Operator) -> None:
    pair.avn("service", "update", "eu", "-c", "valkey_timeout=60", "--enable-termination-protection")
    done = pair.ccr("switchover", "eu", "us", "--yes", "--json")
    assert done.code == 0, done.err
    risks = {one["what"]: one["fix"] for one in json.loads(done.out)["result"]["exposure"]}
    assert "-c valkey_timeout=60" in risks["valkey_timeout: eu has 60, us has 300"]
    assert "--enable-termination-protection" in risks["termination protection: eu has it, us has not"]
    assert not any(what.startswith("ip_filter") for what in risks), "that eu was closed is no difference to be mended"
    again = pair.ccr("switchover", "eu", "us", "--yes", "--json")
    assert again.code == 0, again.err
    assert not any(one["what"].startswith("ip_filter") for one in json.loads(again.out)["result"]["exposure"])


def test_a_failover_tells_what_differs_and_the_printed_power_off_works(pair: Operator) -> None:
    pair.avn("service", "update", "eu", "-c", "valkey_timeout=60", "--enable-termination-protection")
    pair.sandbox.servers.kill("eu")
    check = pair.ccr("failover", "us", "--allow-data-loss", "--check")
    assert "warning: valkey_timeout: eu has 60, us has 300" in check.out
    done = pair.ccr("failover", "us", "--allow-data-loss", "--yes", "--json")
    assert done.code == 0, done.err
    risks = {one["what"]: one["fix"] for one in json.loads(done.out)["result"]["exposure"]}
    assert "valkey_timeout: eu has 60, us has 300" in risks
    mend = next(mend for what, mend in risks.items() if "not fenced" in what)
    typed = subprocess.run(["bash", "-c", mend], env=pair.environment(), capture_output=True, check=False)
    assert typed.returncode == 0, typed.stderr
    assert json.loads(pair.avn("service", "get", "eu", "--json").out)["state"] == "POWEROFF"


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
