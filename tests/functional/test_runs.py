"""`runs` after a real enable: listed, shown, verified, reported; a run that is killed says where it stood."""

import json
from pathlib import Path

from tests.support.operator import EU, US, Make, Operator, ended


def test_a_run_is_listed_shown_reported_and_verified(operator: Operator, tmp_path: Path) -> None:
    done = operator.enable("--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    run, head, path = told["run"], told["journal"]["head"], Path(told["journal"]["path"])

    def runs(*words: str) -> str:
        done = operator.ends(0, "runs", *words)
        return done.out

    assert run in runs("list")
    assert "enable   eu       us" in runs("list")
    shown = runs("show", "latest")
    assert "20 of 20 markers arrived" in shown
    assert ": intact;" in runs("verify", run, "--head", head)
    file = tmp_path / "report.html"
    runs("report", run, "--output", str(file))
    page, ticket = file.read_text(), runs("report", run, "--format", "markdown")
    for text in (page, ticket):
        assert "20 of 20" in text
        assert "avn service create us" in text
        assert head in text
    everything = "\n".join((page, ticket, shown, runs("list", "--json"), runs("show", run, "--json")))
    for service in operator.sandbox.platform.services.values():
        assert service.password not in everything
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert "NOT intact" in operator.ends(6, "runs", "verify", run, "--head", head).out


def test_a_run_that_was_killed_says_what_was_last_known_and_what_goes_on(make: Make) -> None:
    operator = make(build_seconds=30)
    child = operator.start("ccr-avn", "enable", "eu", "us", "--primary-cloud", EU, "--replica-cloud", US)
    child.tells("primary-running: ")
    child.kill()
    ended(child)
    shown = operator.ends(0, "runs", "show", "latest")
    assert "incomplete" in shown.out
    assert "last finished step: primary:" in shown.out
    assert "under way: primary-running" in shown.out
    assert "resume with: ccr-avn enable eu us" in shown.out
    operator.ends(6, "runs", "verify", "latest")
