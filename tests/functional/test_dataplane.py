"""Pairs whose data plane is reached by TLS, with a hidden password, through a filter; and what INFO can't be made to say."""

from dataclasses import replace

import pytest
from valkey.exceptions import ResponseError

from ccr_avn.valkey.connect import connect
from ccr_avn.valkey.marker import accepts_write
from ccr_avn.valkey.server_facts import fetch_replication
from tests.support.operator import Make
from tests.support.pairs import paired
from tests.support.servers import Serve


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
