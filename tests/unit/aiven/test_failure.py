"""What avn tells of a failure, in each of the formats that it has had: a status for programs, one line for people."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccr_avn import redact
from ccr_avn.aiven import failure
from ccr_avn.plan.outcome import AvnFailed, Failure
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
    assert found.refused


def test_a_warning_behind_the_error_is_not_the_reason() -> None:
    found = read("ERROR\tcommand failed: UserError: Service 'p/us' update failed: no\nWARNING\told TLS library\n")
    assert (found.reason, found.status) == ("Service 'p/us' update failed: no", None)


CONFIGURED = {
    "InvalidHeader: Invalid return character(s) in header value: 'aivenv1 s3cret\\n'": "AIVEN_AUTH_TOKEN",
    "UnicodeEncodeError: 'latin-1' codec can't encode character '\\u20ac' in position 39": "AIVEN_AUTH_TOKEN",
    "MissingSchema: Invalid URL 'nonsense/v1/me': No scheme supplied": "AIVEN_WEB_URL",
    "InvalidSchema: Missing dependencies for SOCKS support.": "ALL_PROXY",
}


@pytest.mark.parametrize("said", CONFIGURED)
def test_what_is_set_wrong_is_named(said: str) -> None:
    found = read(f'Traceback (most recent call last):\n  File "x.py", line 3\nrequests.exceptions.{said}\n')
    assert CONFIGURED[said] in found.hint
    assert found.lasting, "asking again gives the same answer"
    assert AvnFailed("failed", found).hopeless, "and so it is not asked again"
    assert "s3cret" not in found.reason


def test_a_secret_is_not_cut_in_two_first() -> None:
    redact.remember("s3cret-of-many-letters")
    for before in range(470, 500):
        assert "s3cr" not in read(f"ERROR\tcommand failed: Error: {'x' * before}s3cret-of-many-letters\n").reason


def test_a_page_of_html_is_one_line() -> None:
    found = read("ERROR\tcommand failed: Error: <html>\n<h1>502 Bad Gateway</h1>\n</html> (status 502)\n")
    assert found.reason == "502 Bad Gateway (status 502)"
    assert not found.refused


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
    assert not found.refused


@pytest.mark.parametrize(
    ("last", "said", "hint"),
    [
        ("EOFError: EOF when reading a line", "asked a question", "AIVEN_FORCE"),
        ("SyntaxError: invalid syntax", "value given to -c", '["10.0.0.0/8"'),
        ("requests.exceptions.ReadTimeout: HTTPSConnectionPool: Read timed out.", "did not answer in time", "status"),
        ("KeyError: 'source_endpoint_id'", "KeyError: 'source_endpoint_id'", ""),
    ],
)
def test_what_makes_avn_crash_is_told(last: str, said: str, hint: str) -> None:
    found = read(f'Traceback (most recent call last):\n  File "x", line 1\n    foo\n{last}\nsys:1: Warning: unclosed\n')
    assert said in found.reason
    assert hint in found.hint


def test_a_token_that_is_not_accepted_is_told_as_that() -> None:
    found = read("ERROR\tcommand failed: Error: Missing (expired) db token (status 401)\n")
    assert found.status == 401
    assert "avn user login" in found.hint


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
    assert hint in read(said).hint


@pytest.mark.parametrize(("seconds", "pause"), [("28", 28.0), ("7200", failure.LONGEST_PAUSE)])
def test_a_rate_limit_says_when_to_ask_again(seconds: str, pause: float) -> None:
    found = read(f"ERROR\tcommand failed: Error: {LIMIT.replace('28', seconds)} (status 429)\n")
    assert found.again_in == pause
    assert not found.refused


def test_no_answer_is_no_refusal() -> None:
    assert "60 s" in read("", -9, expired=True).reason
    assert "signal 9" in read("", -9).reason
    assert read("").reason == "(it printed nothing)"


@given(st.text(alphabet=st.characters() | st.sampled_from("ERROR\t\n(status)4{}[]\"':")))
def test_arbitrary_text_is_read(stderr: str) -> None:
    for text in (stderr, f"ERROR\t{stderr}", f"ERROR\tcommand failed: Error: {stderr} (status 404)"):
        assert "\n" not in read(text).reason


def test_a_rate_limit_is_known_where_avn_leaves_its_status_out() -> None:
    said = "ERROR\tcommand failed: UserError: Service 'p/eu' update failed: too many requests - try again in 28s"
    told = failure.read(Answer(argv=("avn",), code=1, stdout="", stderr=said, seconds=0.1))
    assert (told.status, told.again_in, told.refused) == (429, 28.0, False)
