"""What was typed is kept as it was, but for what looks like a secret."""

import shlex

import pytest

from ccr_avn import typed


def test_what_was_typed_is_repeated_whole_and_quoted() -> None:
    words = ("switchover", "eu", "us", "--after", "./deploy.sh 'new primary'", "--write-env", "a b.env")
    typed.remember(words)
    assert typed.words() == words
    assert shlex.split(typed.again("--allow-smaller")) == ["ccr-avn", *words, "--allow-smaller"]


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
