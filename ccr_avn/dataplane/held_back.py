"""Who is held back by a fence, as CLIENT LIST tells."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import valkey

HARMLESS = frozenset({"xread", "wait", "waitaof"})
"""Commands that block by themselves and never write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """A client that the fence holds back."""

    name: str
    address: str
    command: str

    def __str__(self) -> str:
        return f"{self.name or 'unnamed'} at {self.address} ({self.command})"


def blocked_writers(client: "valkey.Valkey") -> tuple[Writer, ...]:
    """The clients that wait with something that may write: also consumers that wait for work, as in BLPOP."""
    clients: Any = client.client_list()
    return tuple(
        Writer(name=str(one.get("name", "")), address=str(one["addr"]), command=str(one.get("cmd", "?")))
        for one in clients
        if "b" in str(one.get("flags", "")) and str(one.get("cmd", "")) not in HARMLESS
    )
