"""What was typed is kept as it was, but for what looks like a secret."""

import shlex

import pytest

from ccr_avn import typed
from ccr_avn.cli import boundary
from ccr_avn.errors import Refused


def test_what_was_typed_is_repeated_whole_and_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIVEN_PROJECT", raising=False)
    words = ("switchover", "eu", "us", "--after", "./deploy.sh 'new primary'", "--write-env", "a b.env")
    typed.remember(words)
    assert typed.words() == words
    assert shlex.split(typed.again("--allow-smaller")) == ["ccr-avn", *words, "--allow-smaller"]
    monkeypatch.setenv("AIVEN_PROJECT", "p")
    assert shlex.split(typed.again("--force")) == ["ccr-avn", *words, "--project", "p", "--force"]
    typed.remember(("unfence", "eu", "--project=q"))
    assert typed.again() == "ccr-avn unfence eu --project=q"


@pytest.mark.parametrize(
    ("hook", "kept"),
    [
        ("curl -H 'Authorization: Bearer s3cret' x", "curl -H 'Authorization: Bearer <redacted>' x"),
        ("deploy --token s3cret now", "deploy --token <redacted> now"),
        ("deploy --api-key=s3cret", "deploy --api-key=<redacted>"),
        ("env PASSWORD=s3cret deploy", "env PASSWORD=<redacted> deploy"),
        ("notify --channel ops token-holders", "notify --channel ops token-holders"),
    ],
)
def test_what_a_hook_is_given_as_a_secret_is_not_kept(hook: str, kept: str) -> None:
    typed.remember(("switchover", "eu", "us", "--after", hook))
    assert typed.words()[-1] == kept
    assert "s3cret" not in typed.again()


@pytest.mark.parametrize(
    ("hint", "options", "said"),
    [
        ("try again at a quieter time, or raise --catch-up-timeout", {"--catch-up-timeout"}, None),
        ("try again at a quieter time, or raise --catch-up-timeout", set(), "try again at a quieter time"),
        (
            "it may need longer: raise --link-timeout",
            {"--link-timeout", "--timeout"},
            "it may need longer: raise --timeout",
        ),
        ("it may need longer: raise --link-timeout", {"--max-minutes"}, "run the same command again"),
        ("run it again; --sample N or --level keys puts less load on it", {"--level"}, "run it again"),
        ("use a permission, or skip the proof: --no-verify", {"--no-verify"}, None),
        (
            "`ccr-avn verify eu us --level link` tells more; or --max-lag-bytes 5",
            set(),
            "`ccr-avn verify eu us --level link` tells more",
        ),
        ("pip install --upgrade aiven-client", set(), None),
        ("choose one: a, b; or decline it: --replica-arg=--no-project-vpc", {"--replica-arg"}, None),
    ],
)
def test_a_hint_names_options_of_the_typed_command_only(hint: str, options: set[str], said: str | None) -> None:
    assert typed.fitting(hint, options) == (said or hint)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ccr-avn failover us --allow-data-loss", "ccr-avn failover --project p us --allow-data-loss"),
        ("see `ccr-avn gate last-known us`", "see `ccr-avn gate last-known --project p us`"),
        ("avn service update eu --power-off, then ccr-avn status", None),
        ("`ccr-avn unfence eu --project q`", "`ccr-avn unfence eu --project q`"),
        ("ccr-avn runs list; ccr-avn switchover --help", "ccr-avn runs list; ccr-avn switchover --project p --help"),
        ("list them: avn cloud list", "list them: avn cloud list"),
    ],
)
@pytest.mark.parametrize("words", [("status", "--project", "p"), ("status", "--project=p", "eu")], ids=str)
def test_a_command_in_a_hint_is_for_the_project_that_was_typed(
    words: tuple[str, ...], text: str, said: str | None
) -> None:
    typed.remember(words)
    twice = "avn service update --project p eu --power-off, then ccr-avn status --project p"
    assert typed.in_project(text) == (said or twice)
    typed.remember(("status",))
    assert typed.in_project(text) == text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify", "eu", "us", "--project", "p"], "raise --link-timeout; ccr-avn status --project p eu"),
        (["gate", "link", "eu", "us"], "raise --timeout; ccr-avn status eu"),
        (["drill", "eu"], "run the same command again"),
    ],
    ids=str,
)
def test_the_hint_of_an_error_is_for_the_command_that_was_typed(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failed(_: list[str]) -> int:
        more = "; ccr-avn status eu" if words[0] != "drill" else ""
        raise Refused("no", hint=f"raise --link-timeout{more}")

    monkeypatch.setattr(boundary, "_run", failed)
    assert boundary.run(words) == 4
    assert capsys.readouterr().err == f"error: no\nhint: {said}\n"


@pytest.mark.parametrize(
    ("hint", "commands"),
    [
        ("check its name: avn service list", ["avn service list"]),
        (
            "`ccr-avn verify eu us --level values` shows whether it lacks anything",
            ["ccr-avn verify eu us --level values"],
        ),
        (
            "check the names: avn service list; when it is gone: ccr-avn failover us --allow-data-loss",
            ["avn service list", "ccr-avn failover us --allow-data-loss"],
        ),
        ("wait for it: avn service wait us, then run the same command again", ["avn service wait us"]),
        (
            "to open it: avn service update eu -c 'ip_filter=[\"a, b\"]', then again",
            ["avn service update eu -c 'ip_filter=[\"a, b\"]'"],
        ),
        ("inspect it: avn service get eu (its state); avn service get eu", ["avn service get eu"]),
        ("upgrade aiven-client, or name another avn with --avn", []),
    ],
)
def test_the_commands_that_a_hint_names_are_words(hint: str, commands: list[str]) -> None:
    assert typed.commands_in(hint) == [shlex.split(one) for one in commands]
