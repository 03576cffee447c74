"""What the servers of both sides tell of themselves that the platform does not: versions, functions, scripts, clocks."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ccr_avn.dataplane import clock
from ccr_avn.dataplane.connect import Endpoint, connect, explained
from ccr_avn.dataplane.link import Side, side_of, unparsed

if TYPE_CHECKING:
    import valkey


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One side. ``libraries``: the code of each library of functions, as a digest; None: not permitted, or not known."""

    side: Side
    libraries: dict[str, str] | None
    ahead: float  # seconds by which its clock is ahead of this machine's
    uncertain: float  # seconds by which that may be wrong, either way


@dataclass(frozen=True, slots=True, kw_only=True)
class Planes:
    primary: Plane
    replica: Plane

    @property
    def skew(self) -> float:
        """Seconds by which the replica's clock is certainly ahead (negative: behind) of the primary's."""
        before, after = ((one.ahead, one.uncertain) for one in (self.primary, self.replica))
        return clock.apart(before, after)


def read_planes(primary: Endpoint, replica: Endpoint) -> Planes:
    """Both sides.

    Raises:
        Unreachable: one can't be asked.
    """
    return Planes(primary=read_plane(primary), replica=read_plane(replica))


def read_plane(endpoint: Endpoint) -> Plane:
    """One side.

    Raises:
        Unreachable: it can't be asked.
    """
    with connect(endpoint) as client, explained(endpoint, connected=True):
        ahead, uncertain = clock.ahead(client)
        libraries = _libraries(client)
        side = side_of(unparsed(client).execute_command("INFO"), endpoint.service)  # type: ignore[no-untyped-call]
    return Plane(side=side, libraries=libraries, ahead=ahead, uncertain=uncertain)


def _libraries(client: "valkey.Valkey") -> dict[str, str] | None:
    """Servers before 7.0 have no functions; a user may lack the right to list them."""
    from valkey.exceptions import ResponseError

    try:
        rows: Any = client.execute_command("FUNCTION", "LIST", "WITHCODE")  # type: ignore[no-untyped-call]
    except ResponseError:
        return None
    told = [dict(zip(row[::2], row[1::2], strict=False)) for row in rows]
    return {_text(one[b"library_name"]): hashlib.sha256(one[b"library_code"]).hexdigest() for one in told}


def _text(name: bytes) -> str:
    return name.decode(errors="replace")
