"""Compares HyperLogLogs by their registers: encoding and an out-of-date cached count may differ."""

MAGIC = b"HYLL"
HEAD = 16
COUNT = slice(8, HEAD)  # the bytes of the cached count; the highest bit of the last one says that it is out of date
REGISTERS = 16_384
DENSE, SPARSE = 0, 1
DENSE_SIZE = HEAD + REGISTERS * 6 // 8


def same(one: bytes, other: bytes) -> bool:
    """Whether both are HyperLogLogs of the same registers: their encoding and an out-of-date count may differ."""
    if not (one.startswith(MAGIC) and other.startswith(MAGIC)) or min(len(one), len(other)) < HEAD:
        return False
    if one[COUNT] != other[COUNT] and not (_outdated(one) or _outdated(other)):
        return False
    mine = _registers(one)
    return mine is not None and mine == _registers(other)


def _outdated(value: bytes) -> bool:
    return bool(value[HEAD - 1] & 0x80)


def _registers(value: bytes) -> bytes | None:
    """One byte for each, or None when it is no HyperLogLog."""
    if value[4] == SPARSE:
        return _sparse(value[HEAD:])
    return _dense(value[HEAD:]) if value[4] == DENSE and len(value) == DENSE_SIZE else None


def _dense(body: bytes) -> bytes:
    """Four registers of six bits in each three bytes, the lowest bits first."""
    found = bytearray()
    for at in range(0, len(body), 3):
        bits = body[at] | body[at + 1] << 8 | body[at + 2] << 16
        found += bytes((bits & 63, bits >> 6 & 63, bits >> 12 & 63, bits >> 18))
    return bytes(found)


def _sparse(body: bytes) -> bytes | None:
    """Runs: 00nnnnnn and 01nnnnnn nnnnnnnn of zeros, 1vvvvvnn of a value; each number is one less than meant."""
    found = bytearray()
    at = 0
    while at < len(body) and len(found) <= REGISTERS:
        code = body[at]
        at += 1
        if code & 0x80:
            found += bytes(((code >> 2 & 31) + 1,)) * ((code & 3) + 1)
        elif code & 0x40:
            low = body[at : at + 1]
            found += bytes(((code & 63) << 8 | low[0]) + 1 if low else 1)
            at += 1
        else:
            found += bytes((code & 63) + 1)
    return bytes(found) if len(found) == REGISTERS else None
