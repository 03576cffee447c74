"""Whether the data fits the memory of the replica once that is a primary of its own."""

from ccr_avn.dataplane.link import Side
from ccr_avn.plan import Finding, go

SLACK = 0.02
"""The share of its memory by which two servers that hold the same data may differ: allocators, tables that grow."""
LEAST_SLACK = 1_048_576
FULL = 0.95
"""From this share on, a server counts as full."""


def judge_room(old: Side, new: Side, primary: str, replica: str, *, allow_smaller: bool) -> Finding | None:
    """A replica holds whatever it is sent; its own limit counts from the promotion on. None: there is nothing to say."""
    room = new.maxmemory
    if not room or old.data_memory <= room * FULL:
        return None
    needed = f"the data of {primary} takes {_mib(old.data_memory)}, {replica} holds {_mib(room)}"
    facts = {"data_bytes": old.data_memory, "room_bytes": room, "eviction": new.eviction}
    if old.data_memory > room + max(room * SLACK, LEAST_SLACK) and not allow_smaller:
        return Finding(
            verdict="stop",
            reason=f"the data of {primary} is more than {replica} holds",
            detail=f"{needed}; once promoted {_what_follows(new.eviction)}",
            hint=f"raise the plan of {replica} first (avn service update {replica} --plan PLAN), or --allow-smaller",
            facts=facts,
        )
    return go(needed, warnings=(f"{needed}: once promoted {_what_follows(new.eviction)}",), **facts)


def _what_follows(policy: str) -> str:
    if policy == "noeviction":
        return "it refuses writes when full (maxmemory_policy noeviction)"
    which = "keys with a time to live" if policy.startswith("volatile") else "keys"
    return f"it evicts {which} to make room (maxmemory_policy {policy})"


def _mib(size: int) -> str:
    return f"{size / 1_048_576:.1f} MiB"
