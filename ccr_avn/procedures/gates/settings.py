"""Rules on the settings, rights and memory of two services."""

import json
import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from ccr_avn.aiven.models import Service, User
from ccr_avn.plan.model import Finding, go, stop
from ccr_avn.units import format_bytes
from ccr_avn.valkey.replication import ReplicationInfo

NOBODY = "192.0.2.1/32"
"""An address that nobody has (RFC 5737): the only one in the ip_filter of a service that a switchover closed."""

DEFAULTS: Mapping[str, Any] = {
    "ip_filter": ["0.0.0.0/0", "::/0"],
    "frequent_snapshots": True,
    "ssl": True,
    "timeout": 300,
    "maxmemory_policy": "noeviction",
    "persistence": "rdb",
}
"""What an absent key means, as Aiven documents it; all without the prefix of the type."""

ONLY_AT_CREATION = ("service_to_fork_from", "project_to_fork_from", "recovery_basebackup_name")
MAY_BE_SECRET = re.compile(r"password|secret|token|credential|^migration\b")
HIDDEN = "<hidden>"
LONGEST = 160  # characters of a value that are shown
LONGEST_COMMAND = 4000


def differing(old: Service, new: Service) -> dict[str, tuple[Any, Any]]:
    """Options by their name on ``new``, each with its value on either side; None: not set, and no default is known."""
    before, after = _plain(old), _plain(new)
    found = {}
    for key in sorted({*before, *after}):
        was, is_now = (values.get(key, DEFAULTS.get(key)) for values in (before, after))
        if key == "version" and None in (was, is_now):
            continue  # the servers tell
        if key == "ip_filter" and networks(was) == [NOBODY]:
            continue  # closed by a switchover: nothing to be copied
        if _comparable(key, was) != _comparable(key, is_now):
            prefixed = any(f"{one.type}_{key}" in one.user_config for one in (old, new))
            found[f"{new.type}_{key}" if prefixed else key] = (was, is_now)
    return found


def lets_nobody_in(service: Service) -> bool:
    """Whether its ip_filter names only a reserved address, in effect or not."""
    entries = service.user_config.get("ip_filter")
    return isinstance(entries, list) and len(entries) == 1 and networks(entries) == [NOBODY]  # it may have thousands


def networks(ip_filter: Any) -> list[str]:
    """The networks of a filter, also where each comes with a description; in order, without doubles."""
    rows = ip_filter if isinstance(ip_filter, (list, tuple)) else ()
    entries = [row.get("network") if isinstance(row, dict) else row for row in rows]
    return sorted({_network(str(one)) for one in entries if one})


def shown(key: str, value: Any) -> str:
    """A value for people: never a secret, never long."""
    if value is None:
        return "unset"
    if MAY_BE_SECRET.search(key):
        return HIDDEN
    text = ", ".join(networks(value)) or "nobody" if key == "ip_filter" else str(literal(value))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"


def changes(key: str, value: Any) -> tuple[str, ...]:
    """The words that make ``avn service update`` set it; none when it must not or can't be spelled on a command line."""
    if MAY_BE_SECRET.search(key):
        return ()
    if value is None:
        return ("--remove-option", key)
    text = literal(value)
    if key == "ip_filter" and len(text) > LONGEST_COMMAND:
        text = literal(networks(value))  # without descriptions
    return ("-c", f"{key}={text}") if len(text) <= LONGEST_COMMAND else ()


def literal(value: Any) -> str:
    """As avn reads it: words as they are, true and false, lists and objects as Python literals."""
    if isinstance(value, str):
        return value
    return _python(value) if isinstance(value, (list, tuple, dict)) else json.dumps(value)


def filter_word(ip_filter: object) -> str:
    """The word of ``-c`` that sets this filter; without one, that of the platform's default."""
    return f"ip_filter={literal(ip_filter if isinstance(ip_filter, list) else DEFAULTS['ip_filter'])}"


def _python(value: Any) -> str:
    """A literal like repr's, with strings in double quotes: a shell needs none of its single quotes broken for them."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_python(key)}: {_python(one)}' for key, one in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_python(one) for one in value)}]"
    if not isinstance(value, str):
        return repr(value)
    body = repr(f'"{value}')[2:-1]  # with a double quote in it, repr puts single ones around it
    return '"' + body.replace('"', '\\"') + '"'


def _network(text: str) -> str:
    """A single address and its /32 are the same."""
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return text


def _plain(service: Service) -> dict[str, Any]:
    """Nested options dotted, as ``-c`` has them, without the prefix of the type."""
    set_ = {key: value for key, value in _flat(service.user_config).items() if value is not None}
    return {key.removeprefix(f"{service.type}_"): set_[key] for key in set_.keys() - {*ONLY_AT_CREATION}}


def _flat(config: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return flat


def _comparable(key: str, value: Any) -> Any:
    return networks(value) if key == "ip_filter" and value is not None else value


def passwords_differ(one: User, other: User) -> bool:
    """As far as both are shown."""
    passwords = [user.password.get_secret_value() if user.password else "" for user in (one, other)]
    return all(passwords) and passwords[0] != passwords[1]


def rights_of(user: User | None) -> dict[str, list[str]] | None:
    """Without the prefix of the type, and without lists that are empty: the platform leaves those out."""
    if user is None:
        return None
    lists = {}
    for key, words in user.access_control.items():
        kind = str(key).rpartition("_acl_")[2]
        if rights := [str(word) for word in words] if isinstance(words, list) else []:
            lists[kind] = sorted(rights) if kind in ("keys", "channels") else rights  # for the others the order counts
    return lists


def shown_rights(user: User) -> str:
    lists = rights_of(user) or {}
    return ", ".join(f"{kind} {' '.join(words)}" for kind, words in lists.items()) or "no limits"


def rights_words(user: User) -> tuple[str, ...]:
    """With an equals sign: a value may begin with a dash. No limits are spelled: no words would change nothing."""
    lists = rights_of(user) or {"keys": ["*"], "categories": ["+@all"], "channels": ["*"]}
    kinds = ("keys", "commands", "categories", "channels")
    return tuple(f"--valkey-acl-{kind}={' '.join(lists[kind])}" for kind in kinds if kind in lists)


SLACK = 0.02
"""The share of its memory by which two servers that hold the same data may differ: allocators, tables that grow."""
LEAST_SLACK = 1_048_576
FULL = 0.95  # from this share on, a server counts as full


def judge_room(
    old: ReplicationInfo, new: ReplicationInfo, primary: str, replica: str, *, allow_smaller: bool
) -> Finding | None:
    """A replica holds whatever it is sent; its own limit counts from the promotion on. None: there is nothing to say."""
    room = new.maxmemory
    if not room or old.data_memory <= room * FULL:
        return None
    needed = f"the data of {primary} takes {format_bytes(old.data_memory)}, {replica} holds {format_bytes(room)}"
    facts: dict[str, Any] = {"data_bytes": old.data_memory, "room_bytes": room, "eviction": new.eviction}
    if old.data_memory > room + max(room * SLACK, LEAST_SLACK) and not allow_smaller:
        hint = f"upgrade the plan of {replica} first (avn service update {replica} --plan PLAN), or --allow-smaller"
        detail = f"{needed}; once promoted {_what_follows(new.eviction)}"
        return stop(f"the data of {primary} does not fit into {replica}", detail=detail, hint=hint, **facts)
    return go(needed, warnings=(f"{needed}: once promoted {_what_follows(new.eviction)}",), **facts)


def _what_follows(policy: str) -> str:
    if policy == "noeviction":
        return "it refuses writes when full (maxmemory_policy noeviction)"
    which = "keys with a time to live" if policy.startswith("volatile") else "keys"
    return f"it evicts {which} (maxmemory_policy {policy})"
