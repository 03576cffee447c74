"""The command line: bad input gets three lines, changes nothing and exits 2; a strange avn is found out."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from pytest_subprocess import FakeProcess

from ccr_avn import process
from ccr_avn.aiven.program import identify
from ccr_avn.errors import AvnError, CcrError, Interrupted, Refused, UsageError
from ccr_avn.procedures.verify import Verify
from tests.support.in_process import Types

BAD = {
    "": "nonsense | check-fence eu us --token x",
    "enable": f"EU us | eu 1us | eu {'u' * 65} | eu eu | eu",
    "enable eu us": "--link-timeout -1 | --call-timeout nan | --call-timeout 0 | --poll-interval 0 | --samples 0"
    " | --service-type pg | --primary-cloud 'a b' | --replica-plan '$(x)' | --project no/slash | --avn /nowhere/avn"
    " | --ca-file /nowhere/ca.pem | --nonsense | --no-verify --samples 5 | --no-verify --link-timeout 5",
    "verify": "eu eu | eu US | eu us --level soul | eu us --route private | eu us --max-lag-bytes -1",
    "verify eu us --level link": "--db 3 | --samples 20",
    "verify eu us --level keys": "--db -1 | --differences /nowhere/all.jsonl | --differences /",
    "verify eu us": "--sample 10 | --match 'x*' | --differences all.jsonl | --max-ops 20000 | --jobs 2 | --rounds 3"
    " | --round-interval 2",
    "doctor": "--call-timeout -1",
    "gate running eu": "--poll-interval 0",
    "switchover eu us --yes": "--write-env /nowhere/app.env | --write-env /dev/null/app.env | --before no-such-program"
    " | --project '' | --hook-timeout 0 | --fence observe --fence-ttl 5 | --fence observe --old-primary hold",
    "failover us": "--no-verify --wait-automatic 5 | --no-verify --force-partial",
    "failover us --allow-data-loss --yes": "--write-env / | --after './no-such-program now'",
    "evacuate c-1 --yes": "--write-env-dir /nowhere | --write-env-dir /dev/null | --on-failure /dev/null | --data-timeout 0",
    "evacuate c-1 --yes --forced --allow-data-loss": "--old-primary power-off | --max-lag-bytes 5",
    "drill eu --replica-cloud c-1 --yes": "--level link --samples 5 | --level marker --max-ops 5",
    "drill --clean --yes": "--keep | --dry-run",
    "status": "--project '' | --data-timeout 0 | --no-data-plane --warn-lag 5 | --no-data-plane --data-timeout 5",
    "status --format prometheus": "--output /nowhere/ccr.prom | --output /dev/null",
    "runs report latest": "--output /nowhere/report.html",
    "watch p0 r0": "--for soon | --until-lag-below 0 | --until-lag-below 5s | --listen here | --listen 1:99999"
    " | --interval 0 | --alert-command x",
    "watch p0 r0 --alert-lag 5": """--alert-command "'" | --alert-command no-such-program""",
    "sandbox outage": "eu",
    "sandbox run true": "--uri-scheme http | --build-seconds -1 | --fault kind | --set colour=red | --set filter_cuts=some"
    f" | --set stale_rows=long | --tls-certificate /nowhere/cert.pem | --tls-certificate {__file__}"
    f" | --tls-key {__file__} | --tls-certificate {__file__} --tls-key {__file__} | --tls-ca {__file__}"
    " | --tls-ca /nowhere/ca.pem",
}
"""What is typed behind the words of a command, one after the other."""


def bad() -> Iterator[list[str]]:
    for command, ends in BAD.items():
        for end in ends.split(" | "):
            words = [*command.split(), *shlex.split(end)]
            yield [*words[:2], *words[3:], "--", "true"] if command == "sandbox run true" else words


@pytest.fixture(autouse=True)
def avn(fp: FakeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An avn that answers its version and its help, and nothing else."""
    path = tmp_path / "avn"
    path.touch(0o755)
    monkeypatch.setenv("CCR_AVN_BIN", str(path))
    monkeypatch.delenv("AIVEN_PROJECT", raising=False)
    monkeypatch.delenv("CCR_AVN_SANDBOX", raising=False)
    monkeypatch.setattr("ccr_avn.sandbox.run.Keeper", MagicMock())  # it would be started before files are read
    fp.register([str(path), "--version"], stdout="aiven-client 4.18.0\n", occurrences=9)
    fp.register([str(path), "service", "create", "--help"], stdout="--read-replica-for", occurrences=9)
    return path


@pytest.mark.parametrize("words", [*bad()], ids=" ".join)
def test_bad_input_gets_three_lines_and_exits_2(words: list[str], types: Types) -> None:
    said = types(*words)
    assert (said.code, said.out) == (2, "")
    assert re.fullmatch(r"error: .+\ndetail: .+\nhint: .+\n", said.err), said.err
    assert "Value error" not in said.err


def test_an_option_of_a_comparison_names_the_level_that_has_one(types: Types) -> None:
    assert "hint: leave out --match, or use --level values\n" in types("verify", "eu", "us", "--match", "a*").err


@pytest.mark.parametrize(
    ("level", "keys", "depth", "told"),
    [
        ("marker", None, {}, "proven by marker"),
        ("keys", 0, {}, "proven by marker; there was no key to compare"),
        ("keys", 7, {}, "proven by existence, type and expiry of 7 keys"),
        ("values", 7, {"sample": 9, "match": "x*"}, "proven by the values of 7 keys chosen at random matching x*"),
        ("values", 7, {"db": [1, 3]}, "proven by the values of 7 keys in database 1, 3"),
    ],
)
def test_what_a_pair_is_proven_by(level: Any, keys: int | None, depth: dict[str, Any], told: str) -> None:
    verb = Verify(primary="eu", replica="us", level=level, **depth)
    assert verb._proven_by({} if keys is None else {"compare": {"keys": keys}}) == told


@pytest.mark.parametrize(
    "line",
    [
        "status --format json --project -",
        "status --format=json --project -",
        "endpoint eu --format json --project -",
        "enable EU us --json",
    ],
)
def test_who_asks_for_json_gets_it_for_errors_too(line: str, types: Types) -> None:
    code, out, _ = types(*line.split())
    told = json.loads(out)
    assert (told["schema"], told["command"], told["ok"]) == ("ccr-avn/1", line.split(maxsplit=1)[0], False)
    assert (code, told["exit_code"], told["changed"], told["outcome"]) == (2, 2, False, "unchanged")
    assert set(told["error"]) == {"kind", "what", "detail", "hint", "notes"}
    assert (told["run"], told["journal"]) == (None, None)


def test_the_json_of_another_program_is_not_ours(types: Types) -> None:
    said = types("sandbox", "run", "--build-seconds", "-1", "--", "avn", "--json")
    assert (said.code, said.out) == (2, "")


@pytest.mark.parametrize(
    "line", ["switchover eu us", "failover us --allow-data-loss", "enable eu us --replica-cloud c-1"]
)
def test_how_often_is_asked_reaches_the_plan(line: str, types: Types) -> None:
    said = types(*line.split(), "--dry-run", "--poll-interval", "2")
    assert (said.code, "--poll-interval 2" in said.out) == (0, True)


def test_a_bug_is_told_apart_and_shows_no_values(types: Types, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("password")

    monkeypatch.setattr("ccr_avn.cli.enable.identify", broken)
    said = types("enable", "eu", "us")
    assert (said.code, "internal error: KeyError" in said.err, "password" in said.err) == (1, True, False)


@pytest.mark.parametrize(
    ("said", "kind"), [("cat 9.1", UsageError), ("", UsageError), ("aiven-client 2.14.7", Refused), (None, UsageError)]
)
def test_what_is_no_avn_or_too_old_is_refused(
    said: str | None, kind: type[CcrError], fp: FakeProcess, tmp_path: Path
) -> None:
    path = tmp_path / "program"
    path.touch(0o755)
    if said is None:  # it is really started, and can't be
        fp.allow_unregistered(allow=True)
    else:
        fp.register([str(path), "--version"], stdout=said)
    with pytest.raises(kind) as caught:
        identify(str(path))
    assert (caught.value.detail == "Exec format error") == (said is None)


def test_avn_is_found_beside_or_in_path_or_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CCR_AVN_BIN")
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert process.find_avn(None) == str(tmp_path / "avn")
    (tmp_path / "avn").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(process, "find_spec", lambda _: None)
    with pytest.raises(UsageError):
        process.find_avn(None)


WRONG = (
    ("CCR_AVN_CA_FILE", "/nowhere/ca.pem"),
    ("CCR_AVN_ROUTE", "private"),
    ("CCR_AVN_REPLICA_CLOUD", "a b"),
    ("CCR_AVN_CALL_TIMEOUT", "0"),
    ("CCR_AVN_CALL_TIMEOUT", "soon"),
    ("CCR_AVN_BIN", "/nowhere/avn"),
    ("AIVEN_PROJECT", "no/slash"),
)


@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_a_wrong_value_in_the_environment_names_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, types: Types, fp: FakeProcess
) -> None:
    monkeypatch.setenv(variable, value)
    said = types("enable", "eu", "us")
    assert (said.code, variable in said.err) == (2, True)
    assert not fp.calls


def test_what_is_typed_comes_before_the_environment(types: Types, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCR_AVN_CALL_TIMEOUT", "0")
    said = types("enable", "eu", "us", "--call-timeout", "-1")
    assert "invalid value for --call-timeout: -1" in said.err


def test_what_only_the_environment_gives_is_not_refused_where_it_does_nothing(
    types: Types, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCR_AVN_REPLICA_CLOUD", "aws-us-east-1")
    assert types("drill", "--clean", "--dry-run").err.startswith("error: --clean has no --dry-run")


def test_exit_codes_tell_whether_something_was_changed() -> None:
    def code(error: CcrError, *, changed: bool) -> int:
        error.changed = changed
        return error.exit_code

    assert code(AvnError("x"), changed=False) == 3
    assert code(AvnError("x"), changed=True) == 13
    assert code(Interrupted(2), changed=False) == 130
    assert code(Interrupted(15), changed=True) == 153


def test_every_command_that_reaches_a_data_plane_takes_a_route() -> None:
    from ccr_avn.cli import LINES, load

    options = {name: {param.name for param in load(name).params} for name in LINES}
    takes, trusts = ({name for name, has in options.items() if one in has} for one in ("route", "ca_file"))
    assert takes == trusts | {"endpoint"}
