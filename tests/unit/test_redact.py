"""No password leaves inside somebody's text."""

import json
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote

import pytest

from ccr_avn import redact
from ccr_avn.aiven import models
from ccr_avn.errors import AvnError
from ccr_avn.redact import redacted, redacted_in
from tests.support.factories import fact


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(redact, "_known", set())
    redact._any_of_the.cache_clear()
    yield
    redact._any_of_the.cache_clear()  # what was made of this test's passwords is not for as many others


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("can't reach rediss://default:s3cr3t@eu.example:6379 now", "can't reach rediss://…@eu.example:6379 now"),
        ("rediss://default:p@ss/w:rd@eu.example", "rediss://…@eu.example"),
        ("'valkeys://:only@h:1'", "'valkeys://…@h:1'"),
        ("https://token@host/path", "https://…@host/path"),
        ("https://host:443/path and mail me@example.org", "https://host:443/path and mail me@example.org"),
        ("it is AVNS_abc-DEF_123.", "it is <redacted>."),
        ('{"password": "a \\" b", "plan": "x"}', '{"password": "<redacted>", "plan": "x"}'),
        ("{'access_password': 'abc'}", "{'access_password': \"<redacted>\"}"),
        (
            "ERR unknown command 'AUTH', with args beginning with: 'default' 'abc' ",
            "ERR unknown command 'AUTH', with args beginning with: …",
        ),
        ("in header value: 'aivenv1 a b\\n'", "in header value: 'aivenv1 <redacted>'"),
        ('in header value: "aivenv1 it\'s"', 'in header value: "aivenv1 <redacted>"'),
        ("sent aivenv1 abc to it", "sent aivenv1 <redacted> to it"),
        ("ERR unknown command 'FOO', with args beginning with: 'bar'", None),
        ("the password of eu is not visible to this token", None),
    ],
)
def test_what_looks_like_a_secret_is_left_out(text: str, shown: str | None) -> None:
    assert redacted(text) == (shown or text)


def test_every_password_that_was_read_is_known() -> None:
    fact(
        "eu",
        service_uri="rediss://default:from%2Furi-1@h:1",
        service_uri_params={"password": "from-params"},
        users=[{"username": "default", "password": "from-users"}, {"username": "x", "password": None}],
        connection_info={"redis": ["rediss://default:from-info@h:1"]},
    )
    for password in ("from%2Furi-1", "from/uri-1", "from-params", "from-users", "from-info"):
        assert redacted(f"it said {password}!") == "it said <redacted>!", password


def test_what_only_speaks_of_secrets_is_none() -> None:
    redact.learn([{"token_validity_begin": "2026-01-02", "secret_store": "enabled", "password_kind": "generated"}])
    assert redacted("enabled 2026-01-02 generated") == "enabled 2026-01-02 generated"


def test_a_password_is_known_also_when_the_rest_can_not_be_read() -> None:
    with suppress(AvnError):
        models.services(json.dumps([{"service_name": "eu", "users": [{"password": "from-a-broken-row"}]}]))
    assert redacted("from-a-broken-row") == "<redacted>"


def test_a_short_password_is_left_out_as_a_word_only() -> None:
    redact.remember("abcd")
    assert redacted("abcd, abcdef 'abcd'") == "<redacted>, abcdef '<redacted>'"
    redact.remember("eu")
    assert redacted("eu → us") == "eu → us"


@pytest.mark.parametrize(
    "secret", ["token-1\n", " token-1", "to\tken-1", 'to"ken\\-1', "töken-1€", "one-long\nsecond-1"]
)
def test_a_secret_is_known_however_it_is_written(secret: str) -> None:
    redact.remember(secret)
    written = {secret, repr(secret), ascii(secret), json.dumps(secret), quote(secret), " ".join(secret.split())}
    for text in (*written, *secret.splitlines()):
        assert "ken" not in redacted(text)
        assert "-1" not in redacted(text)


def test_the_longer_of_two_passwords_is_left_out_whole() -> None:
    redact.remember("password-1")
    redact.remember("password-1-and-more")
    assert redacted("password-1-and-more") == "<redacted>"


def test_plain_data_is_cleaned_within() -> None:
    redact.remember("password-1")
    assert redacted_in({"a": ["x password-1", ("password-1",)], "n": 1}) == {
        "a": ["x <redacted>", ["<redacted>"]],
        "n": 1,
    }
