"""Makes a server take minutes to load its data: long expired keys are put in front of it."""

from pathlib import Path

HEADER = 9  # b"REDIS0011", b"VALKEY080": magic and version
CHECKSUM = 8
KEYS = 6000
LONG_AGO = (1).to_bytes(8, "little")  # milliseconds since 1970
VALUE = b"\x44\x00" + b"x" * 1024  # a string of 1024 bytes, its length in 14 bits: clients are answered after each

CONFIGURATION = ("key-load-delay 100000", "loading-process-events-interval-bytes 1024")
"""A tenth of a second for each key, and clients are answered in between."""


def prepare(data: Path) -> Path:
    """Put keys that are long expired in front of the data. Gives where the data itself is kept meanwhile."""
    kept = data.with_suffix(".kept")
    if data.exists():
        data.rename(kept)
        blob = kept.read_bytes()
    else:
        blob = b"REDIS0011\xff" + bytes(CHECKSUM)
    padding = b"\xfe\x00" + b"".join(b"\xfc" + LONG_AGO + b"\x00" + _name(number) + VALUE for number in range(KEYS))
    # A checksum of 0 says that there is none.
    data.write_bytes(blob[:HEADER] + padding + blob[HEADER:-CHECKSUM] + bytes(CHECKSUM))
    return kept


def restore(data: Path) -> None:
    """As it was before."""
    data.unlink(missing_ok=True)
    kept = data.with_suffix(".kept")
    if kept.exists():
        kept.replace(data)


def _name(number: int) -> bytes:
    name = f"padding:{number}".encode()
    return bytes([len(name)]) + name
