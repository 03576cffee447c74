"""Checks with a key of its own whether a service accepts writes: the end of the write outage after a promotion."""

import secrets
from typing import Any

from valkey.exceptions import BusyLoadingError, ReadOnlyError, ValkeyError

from ccr_avn.valkey.connect import Endpoint, connect, explained
from ccr_avn.valkey.marker import PREFIX, TTL
from ccr_avn.valkey.replication import QUESTION, ReplicationInfo, parse_replication

NOT_YET = ("READONLY", "MASTERDOWN", "LOADING")
"""How a server that is being promoted refuses a write; any other refusal does not end with the promotion."""


def accepts_write(endpoint: Endpoint, *, timeout: float = 2.0) -> ReplicationInfo | None:
    """The primary that takes a key and gives it back just now, if there is one; the key expires by itself. Seconds.

    Raises: Unreachable: it can't be asked at all.
    """
    key, value = f"{PREFIX}{secrets.token_hex(8)}", secrets.token_hex(8)
    with connect(endpoint, name="ccr-avn:accepts-writes", timeout=timeout) as client:
        asked: Any = client.pipeline(transaction=False)
        with explained(endpoint, connected=True):
            asked.set(key, value, px=int(TTL * 1000))
            asked.get(key)
            asked.execute_command(*QUESTION)  # a replica that is writable takes keys as well
            asked.delete(key)  # where that fails it expires by itself
            written, read, info, _ = asked.execute(raise_on_error=False)
            for answer in (written, read, info):
                if isinstance(answer, (ReadOnlyError, BusyLoadingError)) or str(answer).startswith(NOT_YET):
                    return None
                if isinstance(answer, ValkeyError):
                    raise answer
    side = parse_replication(info, endpoint.service)
    return side if read == value.encode() and side.role == "master" else None
