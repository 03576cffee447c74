"""Classifies failures of avn from its stderr, in the three formats it has had. Nothing else reads that stderr."""

import json
import os
import re
import shlex
from typing import Any, NamedTuple

from ccr_avn.plan.reads import TOO_MANY, Failure
from ccr_avn.process import Answer
from ccr_avn.redact import REDACTED, redacted

LONGEST_PAUSE = 120.0
"""Seconds that a rate limit is waited for at most, whatever the platform says."""

_ENTRY = re.compile(r"^(?=(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\t)", re.MULTILINE)
_CRASHED = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Timeout|Interrupt|Schema|URL|Header)\b")
_STATUS = (
    re.compile(r"\(status (\d{3})\)\s*$", re.MULTILINE),  # 4.16 and newer
    re.compile(r", status\(<class 'int'>\)=(\d{3})\s*$", re.MULTILINE),  # 4.4 to 4.15
)
_CLASS = re.compile(r"(?:command failed: )?(?:[\w.]+\.)?(\w+)(?::|$)")
_LIMITED = re.compile(r"\b(rate limit|too many requests)\b", re.IGNORECASE)
"""`service update` shows the API's message without its status."""
_AGAIN = re.compile(r"try again in (\d+(?:\.\d+)?) ?s\b")


class Known(NamedTuple):
    """What is said instead of avn's traceback: of these exceptions, where ``sign`` is in the text."""

    exceptions: str
    sign: str
    reason: str  # {where}: the host and port that it names; {text}: the beginning of what it says
    hint: str
    lasting: bool = False


_CONNECTION = "ConnectionError ProxyError SSLError ConnectTimeout ChunkedEncodingError"
_CHECK_NETWORK = "check the network of this machine: curl -sI https://api.aiven.io"
_BAD_TOKEN = (
    "the token can't be sent: it contains a line break or another character that no token has",
    "set it without that: AIVEN_AUTH_TOKEN=\"$(tr -d '[:space:]' <FILE)\", or avn user login",
    True,
)
_KNOWN = (
    Known(
        _CONNECTION,
        r"ProxyError|Cannot connect to proxy|Tunnel connection failed",
        "the proxy for {where} does not answer, or refuses the connection",
        "check HTTPS_PROXY and NO_PROXY in the environment",
    ),
    Known(
        _CONNECTION,
        r"NameResolutionError|Failed to resolve|Name or service not known|getaddrinfo|name resolution",
        "no network: the name in {where} does not resolve here",
        _CHECK_NETWORK,
    ),
    Known(
        _CONNECTION,
        r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError",
        "the TLS certificate of {where} is not trusted here",
        "behind a proxy that inspects TLS, name its CA: AIVEN_CA_CERT=FILE",
    ),
    Known(_CONNECTION, r"Connection refused", "no network: {where} refuses connections", _CHECK_NETWORK),
    Known(_CONNECTION, r"unreachable|No route to host", "no network: there is no route to {where}", _CHECK_NETWORK),
    Known(_CONNECTION, r"timed out|ConnectTimeout", "no network: {where} does not answer", _CHECK_NETWORK),
    Known(_CONNECTION, r"", "no connection to {where}", _CHECK_NETWORK),
    Known("ReadTimeout", r"", "the Aiven API did not answer in time", "see https://status.aiven.io"),
    Known("InvalidHeader", r"", *_BAD_TOKEN),
    Known("UnicodeEncodeError", r"latin-1", *_BAD_TOKEN),  # that is how a header is written
    Known(
        "MissingSchema InvalidSchema InvalidURL InvalidProxyURL LocationParseError",
        r"",
        "the address of the Aiven API, or of a proxy, can't be used: {text}",
        "check AIVEN_WEB_URL, HTTPS_PROXY and ALL_PROXY in the environment; none is needed for api.aiven.io",
        True,
    ),
    Known(
        "EOFError",
        r"",
        "avn asked a question, most likely about a version near its end of life, and there is no terminal to answer it",
        "run the same avn command by hand to see it; AIVEN_FORCE=true answers it with yes",
    ),
    Known(
        "SyntaxError",
        r"",
        "avn could not read a value given to -c ({text})",
        """lists are written in brackets: -c 'ip_filter=["10.0.0.0/8", "192.0.2.7/32"]'""",
    ),
)
"""The first that fits counts. The signs are how urllib3 and the system word it; only what is shown depends on them."""

_NOBODY = "UserError: not authenticated"
_HINTS = {
    401: "the token is expired or revoked: avn user login, or set a new AIVEN_AUTH_TOKEN",
    403: "check what this token may do: `ccr-avn doctor`; an administrator of the project can grant the permission",
    429: "the token's rate limit is used up: wait, or use another token",
}


def read(answer: Answer) -> Failure:
    """Why it failed, for people; its status for programs."""
    if not answer.started:
        return Failure(
            reason=f"{answer.argv[0]} can't be run: {answer.last_line}",
            hint=f"try it by hand: {shlex.join((answer.argv[0], '--version'))}; reinstall it (pip install aiven-client), "
            "or name another with --avn",
        )
    if answer.expired:
        return Failure(reason=f"no answer within {answer.seconds:.0f} s (--call-timeout)")
    if answer.code < 0:
        return Failure(reason=f"ended by signal {-answer.code}")
    text = _reported(redacted(answer.stderr))  # before anything is cut off it: half a password is one too
    kind = _CLASS.match(text)
    for known in _KNOWN:
        if kind and kind[1] in known.exceptions.split() and re.search(known.sign, text):
            host = re.search(r"host='([^']+)'(?:, port=(\d+))?", text)
            where = f"{host[1]}:{host[2] or 443}" if host else "the Aiven API"
            reason = known.reason.format(where=where, text=" ".join(text.split())[:200])
            return Failure(reason=reason, hint=known.hint, lasting=known.lasting)
    status = _status(text) or (TOO_MANY if _LIMITED.search(text) else None)
    again = _AGAIN.search(text) if status == TOO_MANY else None
    pause = min(float(again[1]), LONGEST_PAUSE) if again else None
    reason, hint, lasting = _reason(text, status), _hint(status, text), _NOBODY in text
    return Failure(reason=reason, hint=hint, lasting=lasting, status=status, again_in=pause)


def _hint(status: int | None, text: str) -> str:
    """A token that was set wrongly explains why it is not accepted."""
    token = os.environ.get("AIVEN_AUTH_TOKEN")
    if status in (401, 403) and token and re.search(r"^aivenv1\b|[\s'\"]", token):
        return "AIVEN_AUTH_TOKEN has quotes or blanks in it: export AIVEN_AUTH_TOKEN=TOKEN, with the token alone"
    if _NOBODY in text:
        return "avn user login, or export AIVEN_AUTH_TOKEN=TOKEN" + ("; it is set, but empty" if token == "" else "")
    return _HINTS.get(status or 0, "")


def _reported(stderr: str) -> str:
    """The last error that was logged, with all its lines; else the line that a traceback ends with, else the last."""
    errors = [one for one in _ENTRY.split(stderr) if one.startswith(("ERROR\t", "CRITICAL\t"))]
    if errors:
        text = errors[-1].partition("\t")[2]
        ends = [found.end() for shape in _STATUS for found in shape.finditer(text)]
        return text[: max(ends, default=len(text))].strip()  # what follows the status is a warning of Python's
    lines = [line for line in stderr.splitlines() if line.strip()]
    crashed = [line for line in lines if _CRASHED.match(line)]
    return (crashed or lines or [""])[-1].strip()


def _status(text: str) -> int | None:
    """At the end of the text; before 4.16 in an API error's own body, which is shown as it came."""
    found = next((found[1] for shape in _STATUS if (found := shape.search(text))), None)
    errors = _body(text).get("errors")
    rows = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    said = [found, *(str(one.get("status")) for one in rows)]
    return next((int(status) for status in said if status and status.isdecimal()), None)


def _body(text: str) -> dict[str, Any]:
    start = text.find("{")
    try:
        found, _ = json.JSONDecoder().raw_decode(text[start:] if start >= 0 else "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _reason(text: str, status: int | None) -> str:
    """One line: the message of a body, without markup, with the status."""
    said = _body(text).get("message")
    plain = said if isinstance(said, str) else re.sub(rf"<(?!{REDACTED[1:]})[^<>]*>", " ", text)
    for shape in _STATUS:
        plain = shape.sub("", plain)
    plain = re.sub(r"^command failed: (Error|UserError|ConnectionInfoError): ", "", " ".join(plain.split()))[:500]
    plain = plain or "(it printed nothing)"
    return f"{plain} (status {status})" if status else plain
