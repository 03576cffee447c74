"""The sandbox itself: it serves what avn asks for, refuses as the platform does, and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.loaded import BIN
from tests.support.operator import EU, Make, Operator
from tests.support.pairs import add_service, follows, overlay_service, paired
from tests.support.wait import LIMIT, until
from tests.support.whole import run_sandbox, servers_below

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
REPLICA = ("-t", "valkey", "--plan", "startup-4", "--cloud", "aws-us-east-1", "--read-replica-for", "eu")


@pytest.mark.slow
def test_every_command_of_avn_that_matters_is_answered(make: Make) -> None:
    operator = make(data_plane=False)
    for words in (
        "user info --json", "project list --json", "project details --json", "cloud list --json", "service types --json",
        "service plans --cloud google-europe-west1", "service versions --json", "service list --json", "events --json",
        "service integration-types-list --json",
    ):  # fmt: skip
        operator.avn(*words.split())
    operator.avn("service", "create", "eu", "-t", "valkey:business-4", "--cloud", EU, "-c", 'ip_filter=["127.0.0.0/8"]')
    operator.avn("service", "wait", "eu", "--timeout", "20")
    operator.avn("service", "tags", "update", "eu", "--add-tag", "a=b")
    assert json.loads(operator.avn("service", "tags", "list", "eu", "--json").out) == [{"key": "a", "value": "b"}]
    operator.avn("service", "tags", "replace", "eu", "--tag", "c=d")
    user = json.loads(operator.avn("service", "user-get", "eu", "--username", "default", "--json").out)
    assert user["username"] == "default"
    assert "rediss://" in operator.avn("service", "connection-info", "valkey", "uri", "eu").out
    platform = operator.sandbox.platform
    platform.options = replace(platform.options, build_seconds=3600)  # a change takes as long as a build
    operator.avn("service", "update", "eu", "--cloud", "aws-eu-west-1")
    assert json.loads(operator.avn("service", "get", "eu", "--json").out)["cloud_name"] == "aws-eu-west-1"
    operator.avn("service", "update", "eu", "--enable-termination-protection")
    refused = operator.types("avn", "service", "terminate", "eu", "-f")
    assert refused.code == 1
    operator.avn("service", "update", "eu", "--disable-termination-protection")
    operator.avn("service", "terminate", "eu", "-f")
    assert json.loads(operator.avn("service", "list", "--json").out) == []


def test_it_refuses_as_the_platform_does(make: Make) -> None:
    operator = make(data_plane=False)
    add_service(operator, "eu")
    for line, status in (
        ("create us -t valkey --plan huge-1 --cloud google-europe-west1", 400),
        ("create us -t valkey --plan business-4 --cloud moon-1 --no-project-vpc", 400),
        ("create Eu -t valkey --plan business-4 --cloud google-europe-west1", 400),
        ("create eu -t valkey --plan business-4 --cloud google-europe-west1", 409),
        ("get nobody", 404),
        ("integration-delete none", 404),
        ("integration-create -t read_replica -s a -d b", 400),
    ):
        assert operator.types("avn", "service", *line.split()).code == 1
        assert operator.sandbox.requests[-1]["status"] == status, line


def test_run_passes_the_exit_code_on_and_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "env > env; avn service create eu -t valkey --plan business-4 --cloud google-europe-west1 || exit 1; exit 7"
    )
    settings = ("promote_restart", "stale_rows=2", "refuse_commands=client|list,info")
    words = [word for one in settings for word in ("--set", one)]
    done = run_sandbox(tmp_path, *words, "--build-seconds", "0", "--backup-seconds", "0", "--", "bash", "-c", script)
    assert done.wait(LIMIT) == 7
    environment = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line)
    assert not Path(environment["AIVEN_CONFIG_DIR"]).exists()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert servers_below(tmp_path) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_up_ends_without_a_trace(tmp_path: Path, number: signal.Signals, code: int) -> None:
    child = run_sandbox(tmp_path, command="up", out=subprocess.PIPE)
    assert child.stdout is not None
    exported = dict(child.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(9))
    create = [str(BIN / "avn"), "service", "create", "eu", "-t", "valkey", "--plan", "business-4", "--cloud", EU]
    subprocess.run(create, check=True, env={**os.environ, **{key: one.strip("'") for key, one in exported.items()}})
    assert len(servers_below(tmp_path / "tmp")) == 1
    child.send_signal(number)
    child.communicate(timeout=LIMIT)
    assert child.returncode == code
    until(lambda: servers_below(tmp_path / "tmp") == [])
    until(lambda: list((tmp_path / "tmp").iterdir()) == [])


def test_run_ends_its_command_when_told_to_end(tmp_path: Path) -> None:
    child = run_sandbox(tmp_path, "--", "bash", "-c", "touch up; exec sleep 60")
    until((tmp_path / "up").exists)
    child.terminate()
    assert child.wait(LIMIT) == 143
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    assert run_sandbox(tmp_path, "--", "no-such-command").wait(LIMIT) == 2


def test_a_plain_installation_says_what_the_sandbox_needs(tmp_path: Path) -> None:
    """Its packages are an extra."""
    (tmp_path / "trustme.py").write_text('raise ModuleNotFoundError("No module named trustme", name="trustme")\n')
    done = subprocess.run(
        [BIN / "ccr-avn", "sandbox", "run", "--tls", "--", "true"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "the sandbox is not installed" in done.stderr) == (2, True), done.stderr
    extra = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]["sandbox"]
    named = re.search("hint: pip install (.*)", done.stderr)
    assert named is not None
    assert named[1].split() == sorted(re.split("[<>=]", one)[0] for one in extra)


def test_faults_and_outages_from_a_shell(operator: Operator) -> None:
    paired(operator)
    assert operator.ccr("sandbox", "fault", "kind=html", "status=502", "method=GET", "path=/me").code == 0
    assert operator.types("avn", "user", "info").code == 1
    assert "502 GET /v1/me" in operator.ccr("sandbox", "requests").out
    for kind in ("freeze", "cut", "api-only", "restart", "kill"):
        assert operator.ccr("sandbox", "outage", "us", "--kind", kind).out == "lost: us\n"
        assert operator.ccr("sandbox", "heal").code == 0
        follows(operator, "us")
    assert operator.ccr("sandbox", "outage", "mars").code == 2
    assert operator.ccr("sandbox", "outage", "us", "--kind", "tickle").code == 2
    assert operator.ccr("sandbox", "fault", "kind=html", "colour=red").code == 2
    assert operator.ccr("sandbox", "clear").code == 0


def test_doctor_tells_what_is_wrong(operator: Operator) -> None:
    operator.avn("service", "create", "eu", "-t", "valkey", "--plan", "business-4", "--cloud", EU)
    well = operator.ends(0, "doctor")
    assert "read replicas: OK" in well.out
    assert "backups: OK" in well.out
    broken = operator.ccr("doctor", AIVEN_AUTH_TOKEN="s3cret-of-a-vault\n")
    assert "s3cret" not in broken.out + broken.err, "avn repeats it in its own error"
    assert "a line break" in broken.out
    bad = operator.ends(4, "doctor", AIVEN_AUTH_TOKEN="bad")
    assert "token: FAIL" in bad.out
    wrong = operator.ccr("doctor", "--service-type", "pg", "--json")
    assert (wrong.code, json.loads(wrong.out)["ok"]) == (4, False)
    assert operator.ccr("doctor", "--avn", "/bin/cat").code == 4
    operator.sandbox.faults.add(kind="cut-json", method="GET", path="integration_types")
    assert "read replicas: WARN" in operator.ccr("doctor").out


def test_an_end_of_life_notice_that_avns_own_list_does_not_survive(make: Make) -> None:
    operator = make(data_plane=False)
    add_service(operator, "eu")
    add_service(operator, "us")
    end = {"service_end_of_life_time": "2027-01-01T00:00:00.123456+00:00"}
    notice = {"type": "service_end_of_life", "level": "warning", "message": "it ends", "metadata": end}
    overlay_service(operator, "eu", {"service_notifications": [notice]})
    assert operator.types("avn", "service", "list", "--json").code != 0
    assert operator.types("avn", "service", "list", "us", "--json").code == 0
