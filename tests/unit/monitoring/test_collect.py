"""Looks at many data planes end at their limit, however slow one of them is."""

import json
import threading
import time
from typing import Any

import pytest

from ccr_avn.aiven import models
from ccr_avn.errors import Unreachable
from ccr_avn.monitoring.collect import look_at_all
from ccr_avn.procedures.setting import Setting
from ccr_avn.valkey.diagnose import Answered
from ccr_avn.valkey.server_facts import fetch_replication
from tests.support.factories import row, service, side
from tests.support.monitored import failed_over, linked, made
from tests.support.odd_server import odd_server


def test_looks_end_at_their_limit_whatever_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hangs(where: Any, **_: Any) -> Any:
        if where.service == "r0":
            over.wait()
        return side("master")

    monkeypatch.setattr("ccr_avn.monitoring.collect.fetch_replication", hangs)
    shared = row("p0", "r0")
    pair = [service(name, shared, service_uri="rediss://u:p@h:1") for name in ("p0", "r0")]
    try:
        found = look_at_all(models.services(json.dumps(pair)), Setting(), limit=0.5)
    finally:
        over.set()
    assert "no answer within 0.5 s" in found["r0"].trouble
    assert found["p0"].side


def test_a_server_that_dribbles_is_cut_off_at_the_limit() -> None:
    with odd_server(pause=0.02) as server, pytest.raises(Unreachable):
        fetch_replication(server.endpoint(timeout=60.0), until=time.monotonic() + 0.3)


@pytest.mark.parametrize("uri", ["rediss://u:p@[::1:5", "rediss://u:p@h:99999999", "::::", "rediss://u:p@h\ud800:1"])
def test_an_address_that_is_none_is_no_bug(uri: str) -> None:
    shared = row("p0", "r0")
    pair = [service(name, shared, service_uri=uri) for name in ("p0", "r0")]
    found = look_at_all(models.services(json.dumps(pair)), Setting(), limit=60)
    assert {name: (one.trouble, one.ours) for name, one in found.items()} == {
        name: (f"the address of {name} can't be used", True) for name in ("p0", "r0")
    }


def test_every_server_is_asked_also_one_that_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch_replication(where: Any, **_: Any) -> Any:
        asked.append(where.service)
        if where.service == "eu":
            raise Answered("eu: the password was refused", passing=False)
        raise Unreachable(f"{where.service}: no answer")

    monkeypatch.setattr("ccr_avn.monitoring.collect.fetch_replication", fetch_replication)
    services = [{**one, "service_uri": "rediss://u:p@h:1"} for one in (*linked(), *failed_over(), made("alone", 1))]
    found = look_at_all(models.services(json.dumps(services)), Setting(), limit=60)
    assert sorted(asked) == ["alone", "eu", "p0", "r0", "us"]
    assert asked.index("r0") < asked.index("p0"), "a lag may be overstated, not understated"
    assert (found["eu"].answered, found["us"].answered) == (True, False)
