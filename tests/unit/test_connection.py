"""Connection details: readable by what they are for, and nothing in them runs."""

import shlex
from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccr_avn.connection import Connection
from ccr_avn.errors import AvnError

EVIL = [
    "$(touch ran)",
    "`touch ran`",
    "a'b\"c",
    "two\nlines",
    "back\\slash",
    "${HOME}",
    "!x",
    "ünïcode",
    "'; touch ran; '",
]


def env(password: str) -> str:
    return Connection(service="eu", uri=f"rediss://default:{password}@eu.example:1").env()


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_in_an_env_file_has_a_meaning_to_a_shell(evil: str) -> None:
    for line in env(evil).splitlines():
        name, _, value = line.partition("=")
        assert name in ("REDIS_URL", "VALKEY_URL")
        assert (value[0], value[-1]) == ("'", "'")
        assert not set(value[1:-1]) & set("'\"$`\\ \n")
        assert shlex.split(value) == [value[1:-1]]


@given(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])))
def test_the_password_is_the_same_in_all_forms(password: str) -> None:
    connection = Connection(service="eu", uri="rediss://default:x@eu.example:1").as_user("app", password)
    line = connection.env().splitlines()[0]
    value = line.removeprefix("REDIS_URL='").removesuffix("'")
    assert unquote(urlsplit(value).password or "") == password == connection.parts["password"]


@pytest.mark.parametrize("host", ["eu.example", "[2001:db8::1]"])
@pytest.mark.parametrize("port", [":12691", ""])
def test_another_user_reaches_the_same_address(host: str, port: str) -> None:
    found = Connection(service="eu", uri=f"rediss://default:x@{host}{port}").as_user("a/b", "p@q")
    assert found.uri == f"rediss://{quote('a/b', safe='')}:p%40q@{host}{port}"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "eu.example:1",
        "rediss://default:s3cret@[::1",
        "rediss://default:s3cret@h:99999",
        "rediss://h:x",
        "rediss:///",
        "rediss://u:s3cret@ho\u2100st:1",
    ],
)
def test_what_is_no_address_is_an_error_that_shows_no_password(uri: str) -> None:
    with pytest.raises(AvnError) as raised:
        Connection(service="eu", uri=uri)
    problem = raised.value
    assert "s3cret" not in f"{problem.what} {problem.detail} {problem.hint}"
