"""The model of Valkey against Valkey itself: both are held the same conversations."""

from collections.abc import Callable
from typing import Any

import pytest

from ccr_avn.valkey.replication import parse_replication
from tests.simulation.sides import Client, Model, Real, Refused, Side

CONVERSATIONS = {
    "signing in": """
        stranger: PING; GET k; AUTH wrong; AUTH default wrong; AUTH default pw-of-the-tests; PING
        stranger: CLIENT SETNAME ccr-avn:x; CLIENT ID; CLIENT LIST TYPE normal
        """,
    "what is denied, unknown or wrong": """
        a: CONFIG GET maxmemory; ACL WHOAMI; SHUTDOWN; REPLICAOF NO ONE; SAVE; NONSENSE
        a: NONSENSE of two words
        stranger: NONSENSE; CONFIG GET maxmemory; MULTI
        a: CLIENT NONSENSE; CLIENT KILL ID 987654321; FUNCTION LIST WITHCODE
        """,
    "databases": """
        a: SELECT 15; SET other 1; SELECT 0; GET other; SELECT 16; SELECT 2147483647; SELECT 15; DEL other
        """,
    "strings": """
        a: SET s value; GET s; GET none; MGET s none s; EXISTS s none s; TYPE s; TYPE none; MEMORY USAGE s
        a: MEMORY USAGE none; PEXPIRETIME s; PEXPIRETIME none; PEXPIRE s 100000; PEXPIRETIME s
        a: PEXPIRE none 1; SET s again; PEXPIRETIME s; SET s brief PX 20; *GET s; EXISTS s; DEL s none
        """,
    "hashes": """
        a: HSET h f 1 g 2; HSET h g 3 i 4; HGET h g; HGET h none; HGET none f; HGETALL h; HGETALL none
        a: TYPE h; MGET h; PEXPIRE h 100000; HSET h f 5; PEXPIRETIME h; HDEL h f none; PEXPIRETIME h
        a: HDEL none f; GET h; SET t x; HGET t f; HSET t f 1; HDEL h g i; EXISTS h; DEL t
        """,
    "counting and scanning": """
        a: SELECT 7; SCAN 0 COUNT 100; SET one 1; SET two 1; PEXPIRE one 100000; PEXPIRETIME one
        a: SCAN 0 COUNT 100; DEL one two
        """,
    "transactions": """
        a: SET w 1; WATCH w; MULTI; SET w 2; GET w; TYPE w; HSET w f 1; EXEC; WATCH w
        b: SET w 3
        a: MULTI; SET w 4; EXEC; GET w; WATCH w
        b: SET w 3
        a: MULTI; EXEC; WATCH w
        b: SET w 3
        a: UNWATCH; MULTI; SET w 5; EXEC; EXEC; MULTI; SET w 6; DISCARD; GET w; WATCH later
        b: SET later 1 PX 20; *GET later
        a: MULTI; EXEC; MULTI; NONSENSE; EXEC; MULTI; MULTI; CONFIG GET x; EXEC
        """,
    "writes while paused": """
        a: CLIENT PAUSE 100000 WRITE; INFO; GET p
        b: SET p 1
        a: CLIENT LIST TYPE normal; GET p; CLIENT UNPAUSE
        b: ?
        a: GET p; INFO
        """,
    "a writer that is cut while it is held back": """
        a: CLIENT SETNAME ccr-avn:fence:x; CLIENT PAUSE 100000 WRITE
        b: SET cut 1
        c: HDEL none f
        a: CLIENT KILL ID {b}
        b: ?
        a: CLIENT KILL TYPE normal SKIPME yes
        c: ?
        a: CLIENT KILL TYPE pubsub; CLIENT LIST TYPE normal; CLIENT UNPAUSE; GET cut
        b: PING
        """,
    "transactions while paused": """
        b: MULTI; SET t 1
        c: MULTI; GET t
        a: CLIENT PAUSE 100000 WRITE
        b: EXEC
        c: EXEC; MULTI; DEL t
        a: MULTI; CLIENT KILL TYPE normal SKIPME yes; CLIENT UNPAUSE; EXEC
        b: ?
        c: ?
        a: GET t
        """,
    "a pause only gets longer": """
        a: CLIENT PAUSE 100000 WRITE; CLIENT PAUSE 20 WRITE
        b: SET longer 1
        a: INFO; CLIENT UNPAUSE
        b: ?
        a: CLIENT PAUSE 20 WRITE
        b: !SET longer 2
        """,
    "a replica": """
        r: SET k 1; HSET k f 1; DEL none; GET k; WATCH k; MULTI; GET k; EXEC; MULTI; SET k 1; EXEC
        r: CLIENT LIST TYPE replica
        a: CLIENT LIST TYPE replica
        r: CLIENT PAUSE 100000 WRITE; INFO; SET k 1; CLIENT UNPAUSE
        """,
}
"""``*``: again and again until the answer is null; ``!``: however long it is held back; ``?``: what was held back before.

``{b}``: the number of b's connection. ``r`` is a client of the replica; all but ``stranger`` have signed in.
"""


def _clients(text: bytes) -> list[tuple[Any, ...]]:
    """Each client but the platform's own; of a replica's link only that it is there."""
    rows = [dict(word.split("=", 1) for word in line.split(" ")) for line in text.decode().splitlines()]
    return sorted(
        ("replica",)
        if "S" in one["flags"]
        else (*(one[name] for name in ("name", "user", "cmd", "db")), "b" in one["flags"])
        for one in rows
        if "S" in one["flags"] or one["user"] != "platform"
        if one["id"] and one["addr"]
    )


SHOWN: dict[str, Callable[[Any], Any]] = {
    "CLIENT ID": lambda number: number > 0,
    "CLIENT KILL TYPE normal": lambda count: count > 0,  # the platform may have been cut with them
    "CLIENT LIST": _clients,
    "INFO": lambda text: parse_replication(text, "").paused_seconds not in (None, 0.0),
    "MEMORY": lambda size: size > 0,
    "PEXPIRETIME": lambda at: at if at < 0 else "some day",
    "SCAN": lambda found: [found[0], sorted(found[1])],
}
"""What is compared of an answer that is not the same each time."""


def _shown(command: str, answer: Any) -> Any:
    shape = next((shape for words, shape in SHOWN.items() if command.startswith(words)), None)
    if isinstance(answer, Refused):
        return f"refused: {answer}"
    if shape and answer not in ("held back", "hung up", b"QUEUED", None):
        return shape(answer)
    return [_shown("", one) for one in answer] if isinstance(answer, list) else answer


def _transcript(side: Side, conversation: str) -> list[str]:
    said = [
        (who.strip(), words.split("; "))
        for who, _, words in (line.partition(": ") for line in conversation.strip().splitlines())
    ]
    names = sorted({who for who, _ in said})
    people = {who: Client(side, "us" if who == "r" else "eu", signs_in=who != "stranger") for who in names}
    numbers = {who: one.number for who, one in people.items()}
    lines = []
    for who, sentence in [(who, one) for who, sentences in said for one in sentences]:
        mark, words = (sentence[0], sentence[1:]) if sentence[0] in "*!?" else ("", sentence)
        asking, asked = people[who], words.format(**numbers).split()
        if mark == "*":
            side.wait(lambda asking, asked: asking.ask(*asked) is None, words, asking, asked)
        answer = asking.answer() if mark == "?" else asking.ask(*asked, held=mark != "!")
        lines.append(f"{who}: {words} -> {_shown(words, answer)!r}")
    for one in people.values():
        one.socket.close()
    return lines


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_model_answers_as_valkey_does(real: Real, model: Model, name: str) -> None:
    assert _transcript(model, CONVERSATIONS[name]) == _transcript(real, CONVERSATIONS[name])
