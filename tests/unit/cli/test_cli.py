"""The command line: bad input gets three lines, changes nothing and exits 2; a strange avn is found out."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pytest_subprocess import FakeProcess

from ccr_avn import process
from ccr_avn.aiven.program import identify
from ccr_avn.cli.boundary import run
from ccr_avn.errors import AvnError, CcrError, Interrupted, Refused, UsageError
from ccr_avn.procedures.verify import Verify

BAD = [
    ["enable", "EU", "us"],
    ["enable", "eu", "1us"],
    ["enable", "eu", "u" * 65],
    ["enable", "eu", "eu"],
    ["enable", "eu"],
    ["enable", "eu", "us", "--link-timeout", "-1"],
    ["enable", "eu", "us", "--call-timeout", "nan"],
    ["enable", "eu", "us", "--samples", "0"],
    ["enable", "eu", "us", "--service-type", "pg"],
    ["enable", "eu", "us", "--primary-cloud", "a b"],
    ["enable", "eu", "us", "--replica-plan", "$(x)"],
    ["enable", "eu", "us", "--project", "no/slash"],
    ["enable", "eu", "us", "--avn", "/nowhere/avn"],
    ["enable", "eu", "us", "--ca-file", "/nowhere/ca.pem"],
    ["enable", "eu", "us", "--nonsense"],
    ["verify", "eu", "US"],
    ["verify", "eu", "us", "--level", "soul"],
    ["verify", "eu", "us", "--sample", "10"],
    ["verify", "eu", "us", "--match", "x*"],
    ["verify", "eu", "us", "--db", "3", "--level", "link"],
    ["verify", "eu", "us", "--differences", "all.jsonl"],
    ["verify", "eu", "us", "--max-ops", "20000"],
    ["verify", "eu", "us", "--jobs", "2"],
    ["verify", "eu", "us", "--rounds", "3"],
    ["verify", "eu", "us", "--round-interval", "2"],
    ["verify", "eu", "us", "--samples", "20", "--level", "link"],
    ["verify", "eu", "us", "--db", "-1", "--level", "keys"],
    ["verify", "eu", "us", "--max-lag-bytes", "-1"],
    ["doctor", "--call-timeout", "-1"],
    ["sandbox", "outage", "eu"],
    ["sandbox", "run", "--uri-scheme", "http", "--", "true"],
    ["sandbox", "run", "--build-seconds", "-1", "--", "true"],
    ["sandbox", "run", "--fault", "kind", "--", "true"],
    ["sandbox", "run", "--set", "colour=red", "--", "true"],
    ["sandbox", "run", "--tls-certificate", "/nowhere/cert.pem", "--", "true"],
    ["sandbox", "run", "--tls-certificate", __file__, "--", "true"],
    ["sandbox", "run", "--tls-key", __file__, "--", "true"],
    ["sandbox", "run", "--tls-certificate", __file__, "--tls-key", __file__, "--", "true"],
    ["sandbox", "run", "--tls-ca", __file__, "--", "true"],
    ["sandbox", "run", "--tls-ca", "/nowhere/ca.pem", "--", "true"],
    ["sandbox", "run", "--set", "filter_cuts=some", "--", "true"],
    ["sandbox", "run", "--set", "stale_rows=long", "--", "true"],
    ["watch", "p0", "r0", "--for", "soon"],
    ["watch", "p0", "r0", "--until-lag-below", "0"],
    ["watch", "p0", "r0", "--until-lag-below", "5s"],
    ["watch", "p0", "r0", "--listen", "here"],
    ["watch", "p0", "r0", "--listen", "1:99999"],
    ["watch", "p0", "r0", "--alert-command", "x"],
    ["watch", "p0", "r0", "--alert-lag", "5", "--alert-command", "'"],
    ["watch", "p0", "r0", "--interval", "0"],
    ["verify", "eu", "us", "--route", "private"],
    ["failover", "us", "--no-verify", "--wait-automatic", "5"],
    ["failover", "us", "--no-verify", "--force-partial"],
    ["switchover", "eu", "us", "--yes", "--write-env", "/nowhere/app.env"],
    ["switchover", "eu", "us", "--yes", "--write-env", "/dev/null/app.env"],
    ["failover", "us", "--allow-data-loss", "--yes", "--write-env", "/"],
    ["verify", "eu", "us", "--level", "keys", "--differences", "/nowhere/all.jsonl"],
    ["verify", "eu", "us", "--level", "keys", "--differences", "/"],
    ["runs", "report", "latest", "--output", "/nowhere/report.html"],
    ["evacuate", "c-1", "--yes", "--write-env-dir", "/nowhere"],
    ["evacuate", "c-1", "--yes", "--write-env-dir", "/dev/null"],
    ["switchover", "eu", "us", "--yes", "--before", "no-such-program"],
    ["failover", "us", "--allow-data-loss", "--yes", "--after", "./no-such-program now"],
    ["evacuate", "c-1", "--yes", "--on-failure", "/dev/null"],
    ["watch", "p0", "r0", "--alert-lag", "5", "--alert-command", "no-such-program"],
    ["status", "--format", "prometheus", "--output", "/nowhere/ccr.prom"],
    ["status", "--format", "prometheus", "--output", "/dev/null"],
    ["evacuate", "c-1", "--forced", "--allow-data-loss", "--yes", "--old-primary", "power-off"],
    ["evacuate", "c-1", "--forced", "--allow-data-loss", "--yes", "--max-lag-bytes", "5"],
    ["enable", "eu", "us", "--no-verify", "--samples", "5"],
    ["enable", "eu", "us", "--no-verify", "--link-timeout", "5"],
    ["status", "--no-data-plane", "--warn-lag", "5"],
    ["status", "--no-data-plane", "--data-timeout", "5"],
    ["switchover", "eu", "us", "--yes", "--fence", "observe", "--fence-ttl", "5"],
    ["drill", "eu", "--replica-cloud", "c-1", "--yes", "--level", "link", "--samples", "5"],
    ["drill", "eu", "--replica-cloud", "c-1", "--yes", "--level", "marker", "--max-ops", "5"],
    ["drill", "--clean", "--yes", "--keep"],
    ["drill", "--clean", "--yes", "--dry-run"],
    ["status", "--project", ""],
    ["switchover", "eu", "us", "--yes", "--project", ""],
    ["enable", "eu", "us", "--call-timeout", "0"],
    ["enable", "eu", "us", "--poll-interval", "0"],
    ["gate", "running", "eu", "--poll-interval", "0"],
    ["switchover", "eu", "us", "--yes", "--hook-timeout", "0"],
    ["evacuate", "c-1", "--yes", "--data-timeout", "0"],
    ["status", "--data-timeout", "0"],
    ["switchover", "eu", "us", "--yes", "--fence", "observe", "--old-primary", "hold"],
    ["check-fence", "eu", "us", "--token", "x"],
    ["nonsense"],
]


@pytest.fixture(autouse=True)
def avn(fp: FakeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An avn that answers its version and its help, and nothing else."""
    path = tmp_path / "avn"
    path.touch(0o755)
    monkeypatch.setenv("CCR_AVN_BIN", str(path))
    monkeypatch.delenv("AIVEN_PROJECT", raising=False)
    monkeypatch.delenv("CCR_AVN_SANDBOX", raising=False)
    fp.register([str(path), "--version"], stdout="aiven-client 4.18.0\n", occurrences=9)
    fp.register([str(path), "service", "create", "--help"], stdout="--read-replica-for", occurrences=9)
    return path


@pytest.mark.parametrize("words", BAD, ids=" ".join)
def test_bad_input_gets_three_lines_and_exits_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"error: .+\ndetail: .+\nhint: .+\n", said.err), said.err


def test_an_option_of_a_comparison_names_the_level_that_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "eu", "us", "--match", "a*"]) == 2
    assert "hint: leave out --match, or use --level values\n" in capsys.readouterr().err


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
    "words",
    [
        ["status", "--format", "json", "--project", "-"],
        ["status", "--format=json", "--project", "-"],
        ["endpoint", "eu", "--format", "json", "--project", "-"],
    ],
    ids=" ".join,
)
def test_who_asks_for_json_gets_it_for_errors_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["command"], told["ok"], told["error"]["code"]) == (words[0], False, 2)


def test_the_json_of_another_program_is_not_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sandbox", "run", "--build-seconds", "-1", "--", "avn", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_errors_are_an_envelope_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["enable", "EU", "us", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["command"], told["ok"], told["changed"]) == ("ccr-avn/1", "enable", False, False)
    assert set(told["error"]) == {"code", "kind", "error", "detail", "hint"}


def test_a_preview_is_printed_with_nothing_but_local_questions(capsys: pytest.CaptureFixture[str], avn: Path) -> None:
    assert run(["enable", "eu", "us", "--replica-cloud", "c-1", "--dry-run"]) == 0
    assert "--read-replica-for eu" in capsys.readouterr().out


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ccr-avn ")
    assert run(["enable", "--help"]) == 0
    assert "--replica-flag" in capsys.readouterr().out


def test_a_bug_is_told_apart_and_shows_no_values(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("password")

    monkeypatch.setattr("ccr_avn.cli.enable.identify", broken)
    assert run(["enable", "eu", "us"]) == 1
    said = capsys.readouterr().err
    assert "internal error: KeyError" in said
    assert "password" not in said


def test_not_avn_and_too_old(fp: FakeProcess, tmp_path: Path) -> None:
    for name, said, kind in (
        ("cat", "cat 9.1", UsageError),
        ("mute", "", UsageError),
        ("old", "aiven-client 2.14.7", Refused),
    ):
        path = tmp_path / name
        path.touch(0o755)
        fp.register([str(path), "--version"], stdout=said)
        with pytest.raises(kind):
            identify(str(path))


def test_a_program_that_can_not_run_is_no_avn(fp: FakeProcess, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.touch(0o755)
    fp.allow_unregistered(allow=True)
    with pytest.raises(UsageError, match=f"{path} can't be run") as caught:
        identify(str(path))
    assert caught.value.detail == "Exec format error"


def test_avn_is_found_beside_or_in_path_or_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CCR_AVN_BIN")
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert process.find_avn(None) == str(tmp_path / "avn")
    (tmp_path / "avn").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError):
        process.find_avn(None)


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
