"""Data of every type and encoding, and every way in which one key can be wrong on a replica."""

from typing import Any

BINARY = bytes(range(256))
BIG = [word for number in range(12_000) for word in (f"field-{number}", f"value-{number * 7919}")]
Command = tuple[Any, ...]

EVERYTHING: tuple[Command, ...] = (
    ("SET", "string:int", 12345),
    ("SET", "string:embstr", "short"),
    ("SET", "string:empty", ""),
    ("SET", "string:negative", "-ERR is a value"),
    ("SET", "string:raw", "x" * 3000),
    ("SET", "string:huge", b"\r\n\x00" * 900_000),
    ("SETBIT", "string:bits", 20_000, 1),
    ("PFADD", "string:hll", *range(1000)),
    ("SET", "expiring", "v", "PX", 3_600_000),
    ("SET", "expiring:days", "v", "EX", 86_400),
    ("HSET", "hash:listpack", "f", "v", "g", "w"),
    ("HSET", "hash:table", *[word for number in range(800) for word in (f"f{number}", number)]),
    *(("HSET", "hash:big", *BIG[start : start + 8000]) for start in range(0, len(BIG), 8000)),
    ("SADD", "set:intset", *range(100)),
    ("SADD", "set:listpack", "a", "b", "c"),
    ("SADD", "set:table", *(f"member-{number}" for number in range(900))),
    *(
        ("SADD", "set:big", *(f"m-{number:020d}" for number in range(start, start + 5000)))
        for start in range(0, 15_000, 5000)
    ),
    ("ZADD", "zset:listpack", 1, "a", 0.1, "b", "-inf", "c"),
    ("ZADD", "zset:skiplist", *[word for number in range(600) for word in (number / 3, f"m{number}")]),
    *(
        ("ZADD", "zset:big", *[word for n in range(start, start + 4000) for word in (n / 7, f"member-{n:030d}")])
        for start in range(0, 12_000, 4000)
    ),
    ("RPUSH", "list:listpack", "a", "b", "a"),
    ("RPUSH", "list:quicklist", *("e" * 100 for _ in range(500))),
    *(
        ("RPUSH", "list:big", *(f"element-{n}" * 8 for n in range(start, start + 2000)))
        for start in range(0, 10_000, 2000)
    ),
    ("GEOADD", "zset:geo", 13.36, 38.11, "Palermo", 15.08, 37.50, "Catania"),
    *(("XADD", "stream", f"{number}-1", "field", number, "other", "v" * 20) for number in range(1, 3000)),
    ("XDEL", "stream", "5-1"),
    ("XGROUP", "CREATE", "stream", "readers", "0"),
    ("XGROUP", "CREATE", "stream", "lazy", "$"),
    ("XREADGROUP", "GROUP", "readers", "alice", "COUNT", "1200", "STREAMS", "stream", ">"),
    ("XREADGROUP", "GROUP", "readers", "bob", "COUNT", "5", "STREAMS", "stream", ">"),
    ("XREADGROUP", "GROUP", "readers", "carol", "NOACK", "COUNT", "5", "STREAMS", "stream", ">"),
    ("XACK", "stream", "readers", "1-1", "2-1"),
    ("XCLAIM", "stream", "readers", "bob", "0", "7-1"),
    ("XADD", "stream:trimmed", "MAXLEN", "1", "1-1", "f", "v"),
    ("XADD", "stream:trimmed", "MAXLEN", "1", "2-1", "f", "v"),
    ("XADD", "stream:emptied", "1-1", "f", "v"),
    ("XDEL", "stream:emptied", "1-1"),
    ("SET", BINARY, BINARY),
    ("HSET", b"\x00\r\n$3\r\nnot\r\n", b"\xff\xfe", b"\r\n-ERR no"),
)
"""Commands that make one key or more of each type and encoding."""

CORRUPTIONS: tuple[tuple[str, str, tuple[Command, ...]], ...] = (
    ("missing", "string:embstr", (("DEL", "string:embstr"),)),
    ("extra", "stray", (("SET", "stray", "v"),)),
    ("type", "string:int", (("DEL", "string:int"), ("RPUSH", "string:int", "12345"))),
    ("expiry", "expiring", (("PEXPIREAT", "expiring", 4_000_000_000_000),)),
    ("expiry", "expiring:days", (("PERSIST", "expiring:days"),)),
    ("expiry", "string:raw", (("EXPIRE", "string:raw", 100_000),)),
    ("value", "string:int", (("INCR", "string:int"),)),
    ("value", "string:empty", (("APPEND", "string:empty", "\0"),)),
    ("value", "string:huge", (("SETRANGE", "string:huge", 2_600_000, "y"),)),
    ("value", "string:huge", (("APPEND", "string:huge", "y"),)),
    ("value", "string:hll", (("PFADD", "string:hll", *range(5000, 5100)),)),
    ("value", "hash:listpack", (("HSET", "hash:listpack", "g", "x"),)),
    ("value", "hash:big", (("HSET", "hash:big", "field-11111", "x"),)),
    ("value", "hash:big", (("HDEL", "hash:big", "field-11111"),)),
    ("value", "hash:big", (("HSET", "hash:big", "more", "x"),)),
    ("value", "set:intset", (("SREM", "set:intset", 50), ("SADD", "set:intset", 500))),
    ("value", "set:big", (("SREM", "set:big", f"m-{77:020d}"), ("SADD", "set:big", "x"))),
    ("value", "set:big", (("SADD", "set:big", "one too many"),)),
    ("value", "zset:listpack", (("ZADD", "zset:listpack", 0.2, "b"),)),
    ("value", "zset:big", (("ZINCRBY", "zset:big", 1, f"member-{5:030d}"),)),
    ("value", "list:listpack", (("LSET", "list:listpack", 0, "b"),)),
    ("value", "list:big", (("LSET", "list:big", 9_999, "x"),)),
    ("value", "list:big", (("RPOP", "list:big"),)),
    ("value", "stream", (("XDEL", "stream", "7-1"), ("XADD", "stream", "*", "f", "v"))),
    ("value", "stream", (("XACK", "stream", "readers", "9-1"),)),
    ("value", "stream", (("XCLAIM", "stream", "readers", "alice", "0", "7-1"),)),
    ("value", "stream", (("XGROUP", "SETID", "stream", "lazy", "0"),)),
    ("value", "stream", (("XGROUP", "DESTROY", "stream", "lazy"),)),
    ("value", "stream", (("XGROUP", "DELCONSUMER", "stream", "readers", "bob"),)),
    ("value", "stream:emptied", (("XADD", "stream:emptied", "2-1", "f", "v"),)),
)
"""The kind that must be found, on which key, and what was done to the replica."""
