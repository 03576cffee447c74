"""doctor's verdicts: what is read, and that the hint is what can help."""

import json
from typing import Any

import pytest

from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.program import Program
from ccr_avn.cli import doctor
from ccr_avn.cli.doctor import Check
from ccr_avn.process import Answer
from tests.support.factories import row, service

TYPES = [{"integration_type": "read_replica", "source_service_types": ["valkey"], "dest_service_types": ["valkey"]}]
URI = "valkeys://default:AVNS_never-shown@h:1"
WELL: dict[str, Any] = {
    "user info": [{"user": "you"}],
    "project details": [{"project_name": "p"}],
    "service list": [service("eu", service_uri=URI)],
    "service integration-types-list": TYPES,
    "service integration-list": [row("eu", "us")],
    "service backup-list": [],
    "vpc list": [],
}


def refusal(status: int, text: str = "no") -> str:
    return f"ERROR\tcommand failed: Error: {text} (status {status})\n"


OFFLINE = (
    "ERROR\tcommand failed: ConnectionError: HTTPSConnectionPool(host='api.aiven.io', port=443): Connection refused\n"
)


def examine(monkeypatch: pytest.MonkeyPatch, project: str | None = "p", **instead: Any) -> dict[str, Check]:
    """``instead``: what a command answers that does not answer well; text is what it says as it fails."""
    answers = {**WELL, **{name.replace("__", " ").replace("_", "-"): one for name, one in instead.items()}}

    def run(argv: tuple[str, ...], *, deadline: float) -> Answer:
        said = answers[" ".join(argv[1:3])]
        failed = isinstance(said, str)
        stdout, stderr = ("", said) if failed else (json.dumps(said), "")
        return Answer(argv=argv, code=int(failed), stdout=stdout, stderr=stderr, seconds=0.0, expired=False)

    monkeypatch.setattr(doctor, "identify", lambda _: Program(path="avn", version="4.18.0"))
    monkeypatch.setattr("ccr_avn.process.run", run)
    return {one.name: one for one in doctor.examine(None, Project(project), "valkey", 60)}


def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examine(monkeypatch)
    assert {name for name, one in found.items() if one.verdict != "OK"} == {"permission to change"}
    assert "AVNS" not in str(found)


@pytest.mark.parametrize(
    ("command", "name", "verdict", "hint"),
    [
        ("service__integration_list", "integrations", "FAIL", "project:integrations:read"),
        ("service__backup_list", "backups", "FAIL", "service:configuration:write"),
        ("service__list", "services", "FAIL", "project:services:read"),
        ("vpc__list", "VPCs", "WARN", "project:networking:read"),
        ("project__details", "project", "FAIL", "avn project list"),
        ("service__integration_types_list", "read replicas", "WARN", "cannot be listed"),
    ],
)
def test_a_permission_that_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch, command: str, name: str, verdict: str, hint: str
) -> None:
    found = examine(monkeypatch, **{command: refusal(403)})[name]
    assert found.verdict == verdict
    assert hint in found.seen


@pytest.mark.parametrize("name", ["token", "project", "integrations", "VPCs"])
@pytest.mark.parametrize(
    ("said", "hint"), [(OFFLINE, "network"), (refusal(401, "Missing (expired) db token"), "expired or revoked")]
)
def test_what_no_permission_mends_is_not_called_one(
    monkeypatch: pytest.MonkeyPatch, name: str, said: str, hint: str
) -> None:
    answers = dict.fromkeys(("user__info", "project__details", "service__integration_list", "vpc__list"), said)
    found = examine(monkeypatch, **answers)[name]
    assert found.verdict != "OK"
    assert hint in found.seen
    assert "needs project:" not in found.seen


@pytest.mark.parametrize("said", [OFFLINE, refusal(401, "Missing (expired) db token")])
def test_one_cause_is_reported_once(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    found = examine(monkeypatch, **dict.fromkeys((name.replace(" ", "__").replace("-", "_") for name in WELL), said))
    assert [(one.name, one.verdict) for one in found.values()] == [
        ("avn", "OK"),
        ("token", "FAIL"),
        ("everything else", "FAIL"),
    ]


def test_without_a_project_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "ERROR\tcommand failed: UserError: Specify project: use --project in the command line\n"
    assert "AIVEN_PROJECT" in examine(monkeypatch, None, project__details=said)["project"].seen


def test_hidden_passwords_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = [service("eu", service_uri="valkeys://default:<redacted>@h:1")]
    found = examine(monkeypatch, service__list=hidden)["passwords"]
    assert (found.verdict, "service:secrets:read" in found.seen) == ("FAIL", True)


def test_what_needs_a_service_is_left_open_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examine(monkeypatch, service__list=[])
    assert {found[name].verdict for name in ("integrations", "backups", "passwords")} == {"WARN"}
