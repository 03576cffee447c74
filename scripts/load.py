"""An application for the demo: writes to one service at full speed, then counts on another what is missing there.

load.py write URI FILE   writes until SIGTERM; FILE gets the key of every acknowledged write
load.py count URI FILE   how many of those keys are missing
"""

import contextlib
import signal
import sys
from pathlib import Path

import valkey


def client(uri: str) -> valkey.Valkey:
    return valkey.Valkey.from_url(uri.replace("valkey", "redis", 1), socket_timeout=1)


def write(uri: str, file: Path) -> None:
    """The old primary is kept in use on purpose: whatever it still acknowledges must not be lost."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    number = 0
    with file.open("w") as acknowledged:
        while not stopping:
            with contextlib.suppress(valkey.ValkeyError), client(uri) as service:
                while not stopping and service.set(f"order:{number}", "x"):
                    acknowledged.write(f"order:{number}\n")
                    number += 1


def count(uri: str, file: Path) -> None:
    keys = file.read_text().split()
    with client(uri) as service:
        parts = [service.mget(keys[start : start + 1000]) for start in range(0, len(keys), 1000)]
    missing = sum(value is None for part in parts for value in part)
    print(f"{len(keys)} writes were acknowledged, {missing} of them are missing on the new primary")


def main() -> None:
    what, uri, file = sys.argv[1:]
    {"write": write, "count": count}[what](uri, Path(file))


if __name__ == "__main__":
    main()
