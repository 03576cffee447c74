"""Whether a server takes a write just now, seen without measuring time; and a write pause for as long as a test needs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import valkey

from ccr_avn.valkey.fence import Fence
from tests.support.wait import until


def takes_a_write(client: Any, admin: Any) -> bool:
    """True: acknowledged. False: refused, cut, or held back by a pause, as ``admin`` sees in CLIENT LIST."""
    connection: Any = None
    try:
        connection = client.connection_pool.get_connection("any")
        connection.send_command("CLIENT", "ID")
        number = connection.read_response()
        connection.send_command("SET", "probe", "x", "PX", "1000")
        until(lambda: connection.can_read(timeout=0.005) or is_blocked(admin, number), "an answer to a write")
        return bool(connection.can_read(timeout=0) and connection.read_response() == b"OK")
    except (valkey.ValkeyError, OSError):
        return False
    finally:
        if connection is not None:
            connection.disconnect()


def is_blocked(admin: Any, number: int) -> bool:
    return any(int(one["id"]) == number and "b" in one["flags"] for one in admin.client_list())


@contextmanager
def in_force(fence: Fence) -> Iterator[Fence]:
    fence.place()
    try:
        yield fence
    finally:
        fence.release()
