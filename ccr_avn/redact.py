"""Redacts passwords from all text before it is shown or stored."""

import json
import re
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

REDACTED = "<redacted>"

LEAST, LONG = 4, 8
"""A password shorter than LEAST is not looked for, and one shorter than LONG only as a whole word: every other text
would be riddled with holes. The platform makes none of fewer than eight characters."""

KEYS = re.compile(r"(?:password|passphrase|secret|token|access_key|key_pem)$", re.IGNORECASE)
ADDRESS = re.compile(r"://([^\s/'\"@]*)@")

SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    # greedy up to the last @, as a password may hold one; a name alone, as in ssh://git@host, goes too
    (re.compile(r"://(?:[^\s'\"<>`@:/]*:[^\s'\"<>`]*|[^\s/'\"@]*)@"), "://…@"),
    (re.compile(r"AVNS_[\w-]+"), REDACTED),
    (
        re.compile(r"(?i)([\"'](?:\w*password|auth_token)[\"']\s*[:=]\s*)(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"),
        r'\1"<redacted>"',
    ),
    # of a header that can't be sent: its token has a line break, or the like
    (re.compile(r"(?s)(['\"])(aivenv1 ).*?(?<!\\)\1"), rf"\1\2{REDACTED}\1"),
    (re.compile(rf"(aivenv1 )(?!{REDACTED})\S+"), rf"\1{REDACTED}"),
    # how a server answers AUTH that it does not know
    (re.compile(r"(?i)(unknown command\W+(?:auth|hello|acl|config|migrate)\b.*?args beginning with:).*"), r"\1 …"),
)
"""What looks like a secret, no matter whose."""

TELLTALE = re.compile(r"://|avns_|password|auth_token|aivenv1|unknown command")
"""Every shape has one of these, in lower case; most texts have none, and all that is journaled or shown comes by here."""


_known: set[str] = set()
"""The passwords that were read, in all their spellings; they only become more."""


def remember(password: str | None) -> None:
    """From now on this password is shown nowhere, however it is written."""
    if not password or password in _known:  # every list of services has them again
        return
    for spelling in _spellings(password):
        if len(spelling) >= LEAST and spelling != REDACTED:
            _known.add(spelling)


@lru_cache(maxsize=1)
def _any_of_the(count: int) -> re.Pattern[str]:  # noqa: ARG001 (it is made anew when there are more)
    known = frozenset(_known)  # a copy: another thread may add one meanwhile, which is then in the next
    longest_first = sorted(known, key=lambda one: (-len(one), one))
    words = [re.escape(one) if len(one) >= LONG else rf"(?<!\w){re.escape(one)}(?!\w)" for one in longest_first]
    return re.compile("|".join(words))


def _spellings(secret: str) -> set[str]:
    """As it is; in a URI; in a message of Python's or in JSON, with escapes; with the blanks that a line leaves of it."""
    escaped = {write(secret)[1:-1] for write in (repr, ascii, json.dumps)}
    lines = {line.strip() for line in secret.splitlines()}
    return {secret, quote(secret, safe=""), unquote(secret), " ".join(secret.split()), *escaped, *lines}


def learn(answer: Any) -> None:
    """Remember every password in JSON that was read: by the name of its key, or within an address."""
    todo = [answer]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            todo.extend(value.values())
            for key, one in value.items():
                if isinstance(one, str) and _names_a_secret(str(key)):
                    remember(one)
        elif isinstance(value, list):
            todo.extend(value)
        elif isinstance(value, str) and "://" in value and (found := ADDRESS.search(value)):
            remember(found[1].partition(":")[2])


def redacted(text: str) -> str:
    """The same text without any password that was read, and without what looks like one."""
    if _known:
        text = _any_of_the(len(_known)).sub(REDACTED, text)
    if TELLTALE.search(text.lower()):
        for shape, instead in SHAPES:
            text = shape.sub(instead, text)
    return text


def redacted_in(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {key: redacted_in(one) for key, one in value.items()}
    return [redacted_in(one) for one in value] if isinstance(value, (list, tuple)) else value


@lru_cache(maxsize=4096)
def _names_a_secret(key: str) -> bool:
    return bool(KEYS.search(key))
