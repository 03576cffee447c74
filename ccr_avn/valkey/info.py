"""Asks a server for INFO: on a connection that is there, or as cheaply as possible on one of its own."""

import math
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from valkey.exceptions import ValkeyError

from ccr_avn import clock
from ccr_avn.valkey.connect import Endpoint, TimedConnection, explained
from ccr_avn.valkey.replication import QUESTION, Link, ReplicationInfo, errors_in, parse_replication

if TYPE_CHECKING:
    import valkey


def fetch_replication(endpoint: Endpoint, *, until: float = math.inf) -> ReplicationInfo:
    """What INFO says of one side, on a connection of its own.

    Over, one way or the other, within the endpoint's time limit, and at the monotonic time ``until``, however slowly it
    answers.

    Raises: Unreachable: it can't be asked, or not in time; or the answer lacks what is needed.
    """
    with explained(endpoint):
        connection: Any = TimedConnection(endpoint=endpoint, until=min(until, clock.monotonic() + endpoint.timeout))
        try:
            connection.connect()
            with explained(endpoint, connected=True):
                connection.send_command(*QUESTION)
                side = parse_replication(connection.read_response(), endpoint.service)
                if side.rejected:
                    with suppress(ValkeyError, OSError):  # too late, or refused: it only explains
                        connection.send_command("INFO", "errorstats")
                        side = replace(side, errors=errors_in(connection.read_response()))
                return side
        finally:
            connection.disconnect()


def fetch_link(primary: Endpoint, replica: Endpoint) -> Link:
    """Both sides, the replica first: what the primary writes in between counts as lag.

    Raises: Unreachable: one side can't be asked.
    """
    replica_side = fetch_replication(replica)
    return Link(primary=fetch_replication(primary), replica=replica_side)


def read_replication(client: "valkey.Valkey", service: str) -> ReplicationInfo:
    """What INFO says. Raises: Unreachable: an answer that lacks what is needed: half a fact is none."""
    return parse_replication(client.execute_command(*QUESTION), service)
