"""What avn tells of a failure, in each of the formats that it has had: a status for programs, one line for people."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccr_avn import redact
from ccr_avn.aiven import failure
from ccr_avn.plan.reads import AvnFailed, Failure
from ccr_avn.process import Answer

POOL = "HTTPSConnectionPool(host='api.aiven.io', port=443): Max retries exceeded with url: /v1/project/p/service"
GONE = {"errors": [{"message": "Service us does not exist", "status": 404}], "message": "Service us does not exist"}
LIMIT = "Too many requests in a given amount of time: Rate limit 120 exceeded - try again in 28s"


def read(stderr: str, code: int = 1, *, expired: bool = False) -> Failure:
    return failure.read(Answer(argv=("avn",), code=code, stdout="", stderr=stderr, seconds=60.0, expired=expired))


@pytest.mark.parametrize(
    "said",
    ["Service us does not exist (status 404)", f"{json.dumps(GONE)}, status(<class 'int'>)=404", json.dumps(GONE)],
    ids=["4.16", "4.4", "older"],
)
@pytest.mark.parametrize("more", ["", "WARNING\tsomething else\n", "/x.py:3: ResourceWarning: unclosed socket\n"])
def test_a_refusal_has_its_status_in_every_format(said: str, more: str) -> None:
    found = read(f"INFO\tlooking\nERROR\tcommand failed: Error: {said}\n{more}")
    assert (found.status, found.reason) == (404, "Service us does not exist (status 404)")
    assert found.is_final


def test_a_warning_behind_the_error_is_not_the_reason() -> None:
    found = read("ERROR\tcommand failed: UserError: Service 'p/us' update failed: no\nWARNING\told TLS library\n")
    assert (found.reason, found.status) == ("Service 'p/us' update failed: no", None)


TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 3\n    foo\n{last}\nsys:1: Warning: unclosed\n'


@pytest.mark.parametrize(
    ("last", "reason", "hint", "lasting"),
    [
        (
            "requests.exceptions.InvalidHeader: Invalid header value: 'aivenv1 s3cret\\n'",
            "token",
            "AIVEN_AUTH_TOKEN",
            True,
        ),
        ("UnicodeEncodeError: 'latin-1' codec can't encode character '\\u20ac'", "token", "AIVEN_AUTH_TOKEN", True),
        ("UnicodeEncodeError: 'ascii' codec can't encode character '\\u20ac'", "'ascii' codec", "", False),
        ("requests.exceptions.MissingSchema: Invalid URL 'nonsense/v1/me'", "nonsense/v1/me", "AIVEN_WEB_URL", True),
        ("requests.exceptions.InvalidSchema: Missing dependencies for SOCKS", "proxy", "ALL_PROXY", True),
        ("EOFError: EOF when reading a line", "asked a question", "AIVEN_FORCE", False),
        ("SyntaxError: invalid syntax", "value given to -c", '["10.0.0.0/8"', False),
        ("requests.exceptions.ReadTimeout: HTTPSConnectionPool: Read timed out.", "did not answer", "status", False),
        ("KeyError: 'source_endpoint_id'", "KeyError: 'source_endpoint_id'", "", False),
    ],
)
def test_what_makes_avn_crash_is_one_line_with_what_helps(last: str, reason: str, hint: str, lasting: bool) -> None:
    found = read(TRACEBACK.format(last=last))
    assert reason in found.reason
    assert hint in found.hint
    assert found.lasting == lasting, "asking again gives the same answer"
    assert AvnFailed("failed", found).hopeless == lasting, "and so it is not asked again"
    assert "s3cret" not in found.reason


def test_a_secret_is_not_cut_in_two_first() -> None:
    redact.remember("s3cret-of-many-letters")
    for before in range(470, 500):
        assert "s3cr" not in read(f"ERROR\tcommand failed: Error: {'x' * before}s3cret-of-many-letters\n").reason


def test_a_page_of_html_is_one_line() -> None:
    found = read("ERROR\tcommand failed: Error: <html>\n<h1>502 Bad Gateway</h1>\n</html> (status 502)\n")
    assert found.reason == "502 Bad Gateway (status 502)"
    assert not found.is_final


@pytest.mark.parametrize(
    ("cause", "said", "hint"),
    [
        ("NewConnectionError('<x>: Failed to establish: [Errno -2] Name or service not known')", "no network", "curl"),
        ("NewConnectionError('<x>: Failed to establish: [Errno 111] Connection refused')", "no network", "curl"),
        ("NewConnectionError('<x>: Failed to establish: [Errno 101] Network is unreachable')", "no network", "curl"),
        ("ProxyError('Cannot connect to proxy.', OSError('[Errno 111] Connection refused'))", "proxy", "HTTPS_PROXY"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))", "certificate", "AIVEN_CA_CERT"),
        ("ProtocolError('Connection aborted.')", "no connection to api.aiven.io:443", "curl"),
    ],
)
def test_no_network_is_a_line_and_not_a_trace(cause: str, said: str, hint: str) -> None:
    found = read(
        f"WARNING\tGET /v1 failed: ConnectionError: {POOL}\nERROR\tcommand failed: ConnectionError: {POOL} (Caused by {cause})\n"
    )
    assert said in found.reason
    assert "api.aiven.io:443" in found.reason
    assert "Pool" not in found.reason
    assert hint in found.hint
    assert not found.is_final


EXPIRED = "ERROR\tcommand failed: Error: Missing (expired) db token (status 401)\n"
NOBODY = "ERROR\tcommand failed: UserError: not authenticated: please login first with 'avn user login'\n"


@pytest.mark.parametrize(
    ("token", "said", "hint"),
    [
        ('"abc"', EXPIRED, "has quotes or blanks"),
        ("'abc'", EXPIRED, "has quotes or blanks"),
        ("abc ", EXPIRED, "has quotes or blanks"),
        ("aivenv1 abc", EXPIRED, "has quotes or blanks"),
        ("abc+/=", EXPIRED, "expired or revoked"),
        (None, EXPIRED, "expired or revoked"),
        ("", NOBODY, "set, but empty"),
        (None, NOBODY, "export AIVEN_AUTH_TOKEN=TOKEN"),
    ],
)
def test_a_token_that_is_set_wrongly_is_the_hint(
    token: str | None, said: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIVEN_AUTH_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("AIVEN_AUTH_TOKEN", token)
    found = read(said)
    assert hint in found.hint
    assert found.status == (401 if said == EXPIRED else None)


@pytest.mark.parametrize(
    ("said", "pause"),
    [
        (f"Error: {LIMIT} (status 429)", 28.0),
        (f"Error: {LIMIT.replace('28', '7200')} (status 429)", failure.LONGEST_PAUSE),
        (f"UserError: Service 'p/eu' update failed: {LIMIT}", 28.0),
    ],
    ids=["as it is", "too long", "without its status"],
)
def test_a_rate_limit_says_when_to_ask_again(said: str, pause: float) -> None:
    found = read(f"ERROR\tcommand failed: {said}\n")
    assert (found.status, found.again_in, found.is_final) == (429, pause, False)


def test_no_answer_is_no_refusal() -> None:
    assert "60 s" in read("", -9, expired=True).reason
    assert "signal 9" in read("", -9).reason
    assert read("").reason == "(it printed nothing)"


@given(st.text(alphabet=st.characters() | st.sampled_from("ERROR\t\n(status)4{}[]\"':")))
def test_arbitrary_text_is_read(stderr: str) -> None:
    for text in (stderr, f"ERROR\t{stderr}", f"ERROR\tcommand failed: Error: {stderr} (status 404)"):
        assert "\n" not in read(text).reason
