"""HyperLogLogs are equal by their registers, in either encoding, whatever count is cached."""

import pytest

from ccr_avn.valkey.compare.values import REGISTERS, same_hyperloglog

OUTDATED = bytes(7) + b"\x80"
VALUES = [0, 1, 5, 32, *[0] * 70, 3, 3, 3, *[0] * 300, 7]
REST = REGISTERS - len(VALUES)


def head(encoding: int, cached: bytes = OUTDATED) -> bytes:
    return b"HYLL" + bytes((encoding, 0, 0, 0)) + cached


def dense(values: list[int], cached: bytes = OUTDATED) -> bytes:
    bits = 0
    for at, value in enumerate([*values, *[0] * (REGISTERS - len(values))]):
        bits |= value << 6 * at
    return head(0, cached) + bits.to_bytes(REGISTERS * 6 // 8, "little")


def run(value: int, length: int) -> bytes:
    """One value for up to four registers."""
    return bytes((0x80 | value - 1 << 2 | length - 1,))


def zeros(length: int) -> bytes:
    return bytes((0x40 | length - 1 >> 8, length - 1 & 255)) if length > 64 else bytes((length - 1,))


def sparse(cached: bytes = OUTDATED, *, last: int = 7, rest: int = REST) -> bytes:
    body = zeros(1) + run(1, 1) + run(5, 1) + run(32, 1) + zeros(64) + zeros(6) + run(3, 3) + zeros(300) + run(last, 1)
    return head(1, cached) + body + zeros(rest)


def counted(number: int) -> bytes:
    return number.to_bytes(8, "little")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (sparse(), sparse(counted(11)), True),
        (dense(VALUES), dense(VALUES, counted(11)), True),
        (dense(VALUES, counted(11)), sparse(), True),
        (dense(VALUES, counted(11)), sparse(counted(11)), True),
        (dense(VALUES, counted(11)), sparse(counted(12)), False),  # what each answers to PFCOUNT
        (dense(VALUES), dense([*VALUES[:-1], 8]), False),
        (dense(VALUES), sparse(last=8), False),
        (sparse(), sparse(counted(11), last=8), False),
        (sparse(rest=REST - 1), sparse(counted(11), rest=REST - 1), False),  # no HyperLogLog: too few registers
        (sparse()[:-1], sparse(counted(1))[:-1], False),
        (b"HYLL", b"HYLL\0", False),
        (b"HYLL" + bytes(12), b"HYLM" + bytes(12), False),
        (head(2) + b"x", head(2, counted(1)) + b"x", False),
    ],
)
def test_equal_by_registers(one: bytes, other: bytes, same: bool) -> None:
    assert same_hyperloglog(one, other) is same
    assert same_hyperloglog(other, one) is same
