"""Makes text safe to show: no terminal control sequences, and every character can be encoded."""

import codecs
import re

DEGRADED = "ccr_avn.degraded"
"""The name of our error handler for streams and files: a character that can't be encoded is written in ASCII."""

UNSAFE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f"  # C0 but tab and line feed: escape sequences begin here
    "\x7f-\x9f"  # DEL and C1, which some terminals obey as well
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff"  # turn, hide or break what stands around them
    "\ud800-\udfff"  # half of a pair: no encoding takes it
    "]"
)
BREAKS = re.compile(r"[\t\n]")

PLAIN = str.maketrans(
    {
        "→": "->",
        "…": "...",
        "✓": "ok",
        "≈": "~",
        "≤": "<=",
        "≥": ">=",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "·": "-",
        "•": "*",
        "─": "-",
        "\N{NO-BREAK SPACE}": " ",
    }
)
"""Our own characters where a terminal has only ASCII or Latin-1."""


def printable(text: str) -> str:
    """The same text with control characters shown escaped, as in ``\\x1b``. Lines and tabs stay."""
    return UNSAFE.sub(_escaped, text)


def printable_line(text: str) -> str:
    """The same for what must stay one line: a name, a cell, a reason."""
    return BREAKS.sub(_escaped, printable(text))


def for_nagios(text: str) -> str:
    """The same on one line, without the sign that begins the performance data."""
    return " ".join(printable(text).replace("|", "/").split())


def clipped(text: str, most: int) -> str:
    """The same text, its middle left out where it is longer than ``most`` characters."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}… ({len(text) - most:,} characters) …{text[len(text) - most // 2 :]}"


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _degraded(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bad = error.object[error.start : error.end].translate(PLAIN)
    return bad.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(DEGRADED, _degraded)
