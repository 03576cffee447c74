"""Services are found by name also where the list can't be had; an avn that is too old is named before it is asked."""

import json
from pathlib import Path
from typing import Any

import pytest
from pytest_subprocess import FakeProcess

from ccr_avn.aiven import program
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.program import Program
from ccr_avn.cli.options import Reaching
from ccr_avn.errors import AvnError, Refused
from ccr_avn.plan.reads import World
from ccr_avn.procedures import lookup
from tests.support.factories import row, service
from tests.support.monitored import failed_over

SHARED = row("eu", "us")
US, EU = service("us", SHARED), service("eu", SHARED, tags="odd")
CRASH = "Traceback\nValueError: time data '2026-08-31T00:00:00.5Z' does not match format\n"


@pytest.fixture
def avn(tmp_path: Path, fp: FakeProcess) -> str:
    """One whose version its installation tells."""
    return installed(tmp_path, "4.18.0")


def installed(home: Path, version: str) -> str:
    (home / f"lib/python3.12/site-packages/aiven_client-{version}.dist-info").mkdir(parents=True)
    (home / "bin").mkdir()
    path = home / "bin/avn"
    path.touch(0o755)
    return str(path)


def world(avn: str) -> World:
    return program.world_of(Program(path=avn, version=""), call_timeout=5)


def answers(fp: FakeProcess, avn: str, *words: str, **how: Any) -> None:
    fp.register([avn, "service", *words, "--json"], **how)


def test_where_the_list_crashes_each_is_asked_for_by_name(fp: FakeProcess, avn: str) -> None:
    answers(fp, avn, "list", "us", "eu", returncode=1, stderr=CRASH)
    answers(fp, avn, "get", "us", stdout=json.dumps(US))
    answers(fp, avn, "get", "eu", stdout=json.dumps(EU))
    told: list[str] = []
    found = lookup.look_up(world(avn), Project(), ("us", "eu"), told.append)
    assert [one.name for one in found] == ["us", "eu"]
    assert told == ["warning: eu: tags: skipped, it can't be read"]


def test_a_name_that_does_not_exist_is_refused_at_once(fp: FakeProcess, avn: str) -> None:
    answers(fp, avn, "list", "us", "typo", stdout=json.dumps([US]))
    answers(fp, avn, "list", stdout=json.dumps([US, {**US, "service_name": "typed"}]))
    with pytest.raises(Refused, match=r"^typo does not exist$") as refused:
        lookup.look_up(world(avn), Project(), ("us", "typo"))
    assert "typed?" in refused.value.hint
    answers(fp, avn, "list", "typo", "us1", stdout="[]")
    answers(fp, avn, "list", stdout=json.dumps([US]))
    with pytest.raises(Refused, match=r"^typo does not exist; us1 does not exist$"):
        lookup.look_up(world(avn), Project(), ("typo", "us1"))


def test_what_is_no_cloud_is_refused_with_what_may_be_meant(fp: FakeProcess, avn: str) -> None:
    clouds = [{"cloud_name": name} for name in ("google-europe-west1", "aws-us-east-1")]
    fp.register([avn, "cloud", "list", "--project", "p", "--json"], stdout=json.dumps(clouds), occurrences=4)
    for known in ("google-*", "aws-us-east-1"):
        lookup.must_be_clouds(world(avn), Project("p"), (known,), str)
    with pytest.raises(Refused, match="google-eruope-west1: no such cloud") as refused:
        lookup.must_be_clouds(world(avn), Project("p"), ("google-eruope-west1",), str)
    assert "google-europe-west1?" in refused.value.hint
    with pytest.raises(Refused, match="azure-"):
        lookup.must_be_clouds(world(avn), Project("p"), ("azure-*",), str)
    answers(fp, avn, "list", "typo", returncode=1, stderr=CRASH)
    gone = "ERROR\tcommand failed: Error: Service does not exist (status 404)"
    answers(fp, avn, "get", "typo", returncode=1, stderr=gone)
    with pytest.raises(Refused, match="typo does not exist"):
        lookup.look_up(world(avn), Project(), ("typo",))


def test_status_of_names_needs_no_list(fp: FakeProcess, avn: str) -> None:
    answers(fp, avn, "list", returncode=1, stderr=CRASH)
    answers(fp, avn, "get", "us", stdout=json.dumps(US))
    answers(fp, avn, "get", "eu", stdout=json.dumps(EU))
    told: list[str] = []
    found = lookup.begin(world(avn), Project(), ("us",), told.append)()
    assert sorted(one.name for one in found) == ["eu", "us"]
    assert "ValueError" in told[0]


def test_where_the_list_can_not_be_had_the_old_primary_is_asked_for_too(fp: FakeProcess, avn: str) -> None:
    for one in failed_over():
        answers(fp, avn, "get", one["service_name"], stdout=json.dumps(one))
    found = lookup.with_their_pairs(world(avn), Project(), ("us",), str)
    assert {one.name for one in found} == {"us", "eu"}


def test_status_of_all_needs_the_list(fp: FakeProcess, avn: str) -> None:
    answers(fp, avn, "list", returncode=1, stderr="ERROR\tcommand failed: Error: no (status 401)\n")
    with pytest.raises(AvnError, match="failed"):
        lookup.begin(world(avn), Project(), (), str)()


def test_an_avn_that_is_too_old_is_named_before_it_is_started(fp: FakeProcess, tmp_path: Path) -> None:
    given = installed(tmp_path, "2.14.0")
    with pytest.raises(Refused, match=r"avn 2.14.0 is too old"):
        Reaching(avn=given).services("us")
    assert not fp.calls


def test_one_whose_age_nothing_tells_is_named_when_it_does_not_know_what_it_is_asked(
    fp: FakeProcess, tmp_path: Path
) -> None:
    path = tmp_path / "avn"
    path.touch(0o755)
    answers(fp, str(path), "list", "us", returncode=2, stderr="avn service: error: no")
    fp.register([str(path), "--version"], stdout="aiven-client 2.14.0")
    with pytest.raises(Refused, match=r"avn 2.14.0 is too old"):
        Reaching(avn=str(path)).services("us")


def test_the_version_is_not_asked_for_while_all_goes_well(fp: FakeProcess, avn: str, tmp_path: Path) -> None:
    assert program.known(avn).version == "4.18.0"
    assert program.known(str(tmp_path / "other")).version == "not asked"
    module = tmp_path / "lib" / "python3.12" / "site-packages" / "aiven" / "client" / "__main__.py"
    assert program.known(str(module)).version == "4.18.0"
    assert not fp.calls
