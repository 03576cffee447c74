"""Commands as bytes, many keys at a time: the join runs in C, which is what makes the client cheap."""

from collections.abc import Iterable


def bulk(word: bytes) -> bytes:
    """One argument in the protocol's own form."""
    return b"$%d\r\n%b\r\n" % (len(word), word)


def bulks(words: Iterable[bytes]) -> list[bytes]:
    return [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]


def pack(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(bulks(words))


class Template:
    """A command with one hole: the key, or one member of it."""

    __slots__ = ("head", "tail")

    def __init__(self, *words: bytes) -> None:
        """The hole is the empty word."""
        at = words.index(b"")
        self.head = b"*%d\r\n" % len(words) + b"".join(bulks(words[:at]))
        self.tail = b"".join(bulks(words[at + 1 :]))

    def one(self, argument: bytes) -> bytes:
        """``argument`` as :func:`bulk` gives it."""
        return self.head + argument + self.tail

    def each(self, arguments: list[bytes]) -> bytes:
        """The command once for each argument."""
        return self.head + (self.tail + self.head).join(arguments) + self.tail if arguments else b""


SHORT = 4096
"""Bytes of a string that are read at once with many others; a longer one is read by itself."""

TYPE = Template(b"TYPE", b"")
MEMORY = Template(b"MEMORY", b"USAGE", b"")
DUMP = Template(b"DUMP", b"")
EXPIRES_AT = Template(b"PEXPIRETIME", b"")
EXPIRES_IN = Template(b"PTTL", b"")
SHORT_STRING = Template(b"GETRANGE", b"", b"0", b"%d" % (SHORT - 1))

WHOLE = {
    b"string": Template(b"GETRANGE", b"", b"0", b"-1"),
    b"hash": Template(b"HGETALL", b""),
    b"set": Template(b"SMEMBERS", b""),
    b"zset": Template(b"ZRANGE", b"", b"0", b"-1", b"WITHSCORES"),
    b"list": Template(b"LRANGE", b"", b"0", b"-1"),
}
"""How a key of moderate size is read in one go. Streams have their own room; other types are dumped."""

STREAM = b"stream"
NONE = b"none"


def exists(keys: list[bytes]) -> bytes:
    """How many of the keys (as :func:`bulks` gives them) are there, as one number."""
    return b"*%d\r\n$6\r\nEXISTS\r\n" % (len(keys) + 1) + b"".join(keys)


def field_expiries(key: bytes, fields: list[bytes]) -> bytes:
    return pack(b"HPEXPIRETIME", key, b"FIELDS", b"%d" % len(fields), *fields)
