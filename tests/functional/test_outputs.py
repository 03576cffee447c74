"""What reads us may die, in the middle of a switchover: what is done on the platform is the same, and so is the exit code."""

import json
import shlex
from pathlib import Path

import pytest

from tests.support.operator import Operator

SWITCH = "ccr-avn switchover eu us --yes"
WAYS = {
    "a reader that goes": f"{SWITCH} 2>&1 | head -9; exit ${{PIPESTATUS[0]}}",
    "no stream at all": f"{SWITCH} <&- >&- 2>&-",
    # coverage writes files as well, where it is measured: not in this one
    "a full disk under the journal": f"unset COVERAGE_PROCESS_START COVERAGE_PROCESS_CONFIG; ulimit -f 2; {SWITCH} --json",
}


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=() if way == "a reader that goes" else pytest.mark.slow) for way in WAYS]
)
def test_a_switchover_ends_the_same_whatever_becomes_of_its_outputs(pair: Operator, way: str, tmp_path: Path) -> None:
    hook = f"--after {shlex.quote(f'touch {tmp_path}/after')}"
    done = pair.types("bash", "-c", WAYS[way].replace("--yes", f"--yes {hook}"))
    assert done.code == 0, (done.out, done.err)
    with pair.sandbox.servers.admin("us") as new:
        assert new.info("replication")["role"] == "master"
    assert pair.sandbox.platform.services["eu"].user_config["ip_filter"] == ["192.0.2.1/32"]
    assert (tmp_path / "after").exists()
    assert "Traceback" not in done.out + done.err
    assert "internal error" not in done.out + done.err
    if "--json" in WAYS[way]:
        told = json.loads(done.out)
        assert (told["ok"], told["changed"], told["result"]["new_primary"]) == (True, True, "us")
        assert told["journal"]["trouble"]


def test_an_env_file_runs_nothing_when_it_is_sourced(pair: Operator, tmp_path: Path) -> None:
    service = pair.sandbox.platform.services["us"]
    object.__setattr__(service, "password", "$(touch ran)`touch ran`'\"; touch ran; '")
    file = tmp_path / "env"
    line = f"set -e; ccr-avn endpoint us --format env > {file}; . {file}; ccr-avn endpoint us --format json"
    done = pair.types("bash", "-c", line)
    assert done.code == 0, done.err
    assert json.loads(done.out)["result"]["password"] == service.password
    assert not (tmp_path / "ran").exists()
