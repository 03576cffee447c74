"""What is asked of both servers before the first key: what they hold and what they can do."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccr_avn.dataplane.compare.commands import EXPIRES_AT, EXPIRES_IN, bulk, pack
from ccr_avn.dataplane.compare.flow import passes
from ccr_avn.dataplane.compare.pair import Traits
from ccr_avn.dataplane.compare.walk import Unit
from ccr_avn.dataplane.compare.wire import Wire
from ccr_avn.errors import Unreachable

if TYPE_CHECKING:
    from ccr_avn.dataplane.compare.model import CompareRequest
    from ccr_avn.dataplane.connect import Endpoint

SLACK = 2000
"""Milliseconds by which two PTTL of equal keys may differ: they are read one after the other."""

VOLATILE_FIELDS = ("keys_with_volatile_items", "subexpiry")
"""Valkey's and Redis's word, in INFO keyspace, for the hashes whose fields expire by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    units: tuple[Unit, ...]
    traits: Traits


def survey(request: "CompareRequest") -> Survey:
    """Raises: Unreachable."""
    mine, theirs = (_ask(endpoint) for endpoint in (request.primary, request.replica))
    exact = mine.exact_expiry and theirs.exact_expiry
    volatile = {number for side in (mine, theirs) for number, facts in side.databases.items() if facts.volatile}
    numbers = sorted(mine.databases.keys() | theirs.databases.keys())
    if request.databases is not None:
        numbers = [number for number in numbers if number in request.databases]
    return Survey(
        units=tuple(
            Unit(on_primary, number, side.databases[number].keys)
            for on_primary, side in ((True, mine), (False, theirs))
            for number in numbers
            if number in side.databases
        ),
        traits=Traits(
            expiry=EXPIRES_AT if exact else EXPIRES_IN,
            expiry_slack=0 if exact else SLACK,
            volatile_fields=frozenset(volatile),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Database:
    keys: int
    volatile: bool


@dataclass(frozen=True, slots=True)
class _Side:
    databases: dict[int, _Database]
    exact_expiry: bool


def _ask(endpoint: "Endpoint") -> _Side:
    wire = Wire(endpoint)
    try:
        keyspace, expiry = wire.ask(pack(b"INFO", b"keyspace"), EXPIRES_AT.one(bulk(b"ccr-avn:none")))
    finally:
        wire.close()
    if not isinstance(keyspace, bytes):
        raise Unreachable(
            f"{endpoint.service}: INFO is refused",
            detail=str(keyspace),
            hint="comparing needs the right to read all keys, and to INFO",
            passing=passes(keyspace),
        )
    found = re.findall(r"^db(\d+):(.*?)\r?$", keyspace.decode(errors="replace"), re.MULTILINE)
    return _Side({int(number): _database(facts) for number, facts in found}, isinstance(expiry, int))


def _database(facts: str) -> _Database:
    pairs = dict(pair.split("=", 1) for pair in facts.split(",") if "=" in pair)
    return _Database(int(pairs.get("keys", 0)), any(pairs.get(name, "0") != "0" for name in VOLATILE_FIELDS))
