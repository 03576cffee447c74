"""Decides what to do with each service of an evacuated cloud. Pure: from one list of services and their state."""

import shlex
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.lineage import TAGGED
from ccr_avn.aiven.models import Service
from ccr_avn.monitoring.collect import Look, Looks, closed
from ccr_avn.monitoring.pairs import Pair
from ccr_avn.procedures.gates.links import Rejections
from ccr_avn.procedures.gates.services import rebalancing
from ccr_avn.procedures.gates.settings import DEFAULTS, networks
from ccr_avn.procedures.gates.succession import both_promoted
from ccr_avn.valkey.replication import NOT_LINKED, lag_of, link_of

Mode = Literal["planned", "forced", "auto"]
Action = Literal["switchover", "failover", "done", "skip", "refuse"]
"""done: moved by an earlier run, and nothing is left to do; skip: moved as well, and what is left can't be done now."""

NO_LOOK = Look()

LINK_UP = "link up"
"""The reason of a pair that is as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """``clouds``: exact names, or a prefix that ends in ``*``; ``tags``: those that a primary must have."""

    clouds: tuple[str, ...]
    mode: Mode = "planned"
    max_lag_bytes: int = 31_457_280
    only: tuple[str, ...] = ()
    excepted: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    rejections: Rejections = field(default_factory=Rejections)

    def leaves(self, cloud: str) -> bool:
        """Whether this cloud is being left."""
        return any(cloud.startswith(one[:-1]) if one.endswith("*") else cloud == one for one in self.clouds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is done with one primary, and why. ``replica``: empty where it has none; ``hint``: the next command.

    ``others``: its other replicas, each with what becomes of it. ``behind``: bytes, None where that is not known.
    """

    action: Action
    primary: str
    replica: str = ""
    reason: str
    hint: str = ""
    behind: int | None = None
    others: tuple[str, ...] = ()
    family: tuple[str, ...] = ()  # the primary, its replicas, and what was promoted from it, by name

    @property
    def name(self) -> str:
        return f"{self.primary}/{self.replica}" if self.replica else self.primary

    @property
    def moves(self) -> bool:
        return self.action in ("switchover", "failover")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """``replicas_here``: replicas in these clouds whose primary is elsewhere; they are not moved.

    ``unknown``: names given with --only that are no side of anything here; ``unknown_excepted``: names given with
    --except that are no service at all; ``left_out``: how many primaries of these clouds the options leave out;
    ``elsewhere``: how many primaries each other cloud has.
    """

    choices: tuple[Choice, ...]
    replicas_here: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    unknown_excepted: tuple[str, ...] = ()
    left_out: int = 0
    elsewhere: Mapping[str, int] = field(default_factory=dict)

    def count(self, action: Action) -> int:
        return sum(one.action == action for one in self.choices)


def left_by(pairs: tuple[Pair, ...], want: Want) -> tuple[Pair, ...]:
    """The pairs whose primaries are in these clouds."""
    return tuple(pair for pair in pairs if pair.primary and want.leaves(pair.primary.cloud))


def select(pairs: tuple[Pair, ...], looks: Looks, want: Want, drills: Collection[str] = ()) -> Selection:
    """``drills``: services that drills created: none of them is a replica that anything is moved to."""
    here: dict[str, list[Pair]] = {}
    for pair in left_by(pairs, want):
        here.setdefault(pair.primary_name, []).append(pair)
    chosen, names = [], set()
    for group in here.values():
        meant = [pair for pair in group if _is_meant(_names(pair), pair.primary, want)]
        one = _choice(meant or group, looks, want, drills)
        family = {one.primary}.union(*(_names(pair) for pair in group))
        names |= family
        if (
            meant or _is_meant({one.primary, one.replica}, group[0].primary, want)
        ) and one.replica not in want.excepted:
            kept = (pair.replica_name for pair in group if meant and pair not in meant)
            left_out = tuple(f"{name} stays a replica of the old primary; it was left out" for name in kept)
            chosen.append(replace(one, others=(*one.others, *left_out), family=tuple(sorted(family))))
    every = {name for pair in pairs for name in _names(pair)}
    clouds = {pair.primary_name: pair.primary.cloud for pair in pairs if pair.primary and pair.primary_name not in here}
    left = (pair for pair in pairs if pair.replica and want.leaves(pair.replica.cloud))
    return Selection(
        choices=tuple(sorted(chosen, key=lambda one: one.name)),
        replicas_here=tuple(sorted(pair.replica_name for pair in left if pair.primary_name not in here)),
        unknown=tuple(name for name in want.only if name not in names),
        unknown_excepted=tuple(name for name in want.excepted if name not in every),
        left_out=len(here) - len(chosen),
        elsewhere=Counter(clouds.values()),
    )


def _names(pair: Pair) -> set[str]:
    return {pair.primary_name, pair.replica_name, *pair.past.successors} - {""}


def _is_meant(names: set[str], primary: Service | None, want: Want) -> bool:
    """Whether a pair with these names is one to be moved. A replica that is named stands for itself, not for others."""
    tags = primary.tags if primary else {}
    return (
        (not want.only or bool(names & set(want.only)))
        and not names & set(want.excepted)
        and all(str(tags.get(key)) == value for key, value in want.tags)
    )


def _choice(group: list[Pair], looks: Looks, want: Want, drills: Collection[str]) -> Choice:
    """What was promoted from it already comes before its remaining replicas: there is one promotion per primary."""
    pair = group[0]
    following = [one for one in group if one.replica_name and one.replica_name not in drills]
    if pair.past.is_old:
        return _moved(pair, following, looks, want)
    if following:
        return _best(following, looks, want)
    primary = pair.primary_name
    if shut := pair.primary and closed(pair.primary, looks.get(primary, NO_LOOK)):
        return Choice(
            action="refuse",
            primary=primary,
            reason=f"{shut}, and it has no replica: it may have been moved, but no tag and no journal on this machine "
            "records to which service",
            hint=f"name that service, which shows what can be proven: ccr-avn switchover {primary} SERVICE --check",
        )
    return Choice(
        action="refuse",
        primary=primary,
        reason="it has no replica, so it can't be moved"
        + (f" ({pair.replica_name} is the temporary replica of a drill)" if pair.replica_name else ""),
        hint=f"ccr-avn enable {primary} NEW --replica-cloud CLOUD",
    )


def _moved(pair: Pair, following: list[Pair], looks: Looks, want: Want) -> Choice:
    """One from which a service was promoted, as tags or a journal of this machine record."""
    service, name, later = pair.primary, pair.primary_name, pair.past.recorded[0]
    if other := both_promoted(Project(), name, later, pair.past.recorded):
        return Choice(
            action="refuse",
            primary=name,
            reason=f"{other.reason} ({other.detail})",
            hint=other.hint,
        )
    read = looks.get(name, NO_LOOK)
    shut = closed(service, read) if service else "it no longer exists"
    action: Action = "switchover"
    hint = ""
    told = f"{later.name} was promoted from it"
    if not later.seen or (want.mode == "forced" and TAGGED not in later.proofs):
        action = "failover" if want.mode == "forced" else "switchover"
        told = f"the promotion of {later.name} was already sent; the remaining steps are done"
    elif shut or want.mode == "forced":
        action, told = "done", f"{told}; {shut or 'it is not closed'}"
    elif read.side or read.answered:
        told = f"{told}; it is not closed yet"
    else:
        action = "skip"
        told = f"{told}; it does not answer ({read.trouble or 'not asked'}), so nothing more is done"
        hint = f"avn service update {name} --power-off"
    return Choice(
        action=action,
        primary=name,
        replica=later.name,
        reason=told,
        hint=hint,
        others=tuple(f"{one.replica_name} follows the old primary" for one in following),
    )


def _best(group: list[Pair], looks: Looks, want: Want) -> Choice:
    """The best of a primary's replicas; what is wrong with it decides when none will do."""
    judged = [judge(one, looks, want) for one in group]
    order = sorted(judged, key=lambda one: (not one.moves, one.behind is None, one.behind or 0, one.replica))
    best = order[0]
    stays = "stays a replica of the old primary; terminate it when you like" if best.moves else "is not touched"
    others = tuple(
        f"{one.replica} {stays}" + (f" ({one.reason})" if not one.moves else f" ({_distance(one)})")
        for one in order[1:]
    )
    return replace(best, others=others)


def _distance(one: Choice) -> str:
    return "lag unknown" if one.behind is None else f"{one.behind} bytes behind"


def judge(pair: Pair, looks: Looks, want: Want) -> Choice:
    """One pair by itself."""
    primary, replica = looks.get(pair.primary_name, NO_LOOK), looks.get(pair.replica_name, NO_LOOK)
    link = link_of(primary.side, replica.side)
    behind = lag_of(primary.side, replica.side)

    def choice(action: Action, reason: str, hint: str = "") -> Choice:
        old, new = pair.primary_name, pair.replica_name
        return Choice(action=action, primary=old, replica=new, reason=reason, hint=hint, behind=behind)

    if why := _impossible(pair, replica, want):
        return choice("refuse", *why)
    if replica.side and replica.side.role == "master":
        return choice(
            "failover" if want.mode == "forced" else "switchover",
            f"{pair.replica_name} already accepts writes; its integration is still listed",
        )
    trouble = _not_healthy(pair, (primary, replica), link, behind, want)
    if want.mode == "forced":
        why_not = _not_whole(pair, replica, want)
        return choice("refuse", *why_not) if why_not else choice("failover", f"forced; {trouble[0] or 'both answer'}")
    if not trouble[0]:
        moving = [rebalancing(side) for side in (pair.primary, pair.replica) if side]
        return choice("switchover", "; ".join((LINK_UP, *filter(None, moving))))
    if want.mode == "auto" and primary.side is None:
        why_not = _may_live(pair, primary, replica, want) or _not_whole(pair, replica, want)
        return choice("refuse", *why_not) if why_not else choice("failover", trouble[0])
    return choice("refuse", *trouble)


def _impossible(pair: Pair, replica: Look, want: Want) -> tuple[str, str] | None:
    """What no mode gets around, with what helps."""
    name = pair.replica_name
    another = f"ccr-avn enable {pair.primary_name} NEW --replica-cloud CLOUD"
    if pair.replica is None:
        where = "is in another project" if pair.elsewhere else "no longer exists"
        return f"{name} {where}", another
    if want.leaves(pair.replica.cloud):
        return f"{name} is in {pair.replica.cloud}, which is being evacuated too", another
    if not pair.replica.serving:
        return f"{name} is {pair.replica.state}", f"avn service wait {name}"
    if replica.side is None:
        return replica.trouble_of(name), replica.hint or f"ccr-avn gate last-known {name}"
    return None


def _may_live(pair: Pair, primary: Look, replica: Look, want: Want) -> tuple[str, str] | None:
    """Why a primary that could not be asked is not proven to be dead, and what helps."""
    side, name = replica.side, pair.replica_name
    if primary.answered:
        doubt = "so it is not dead"
    elif primary.ours or not primary.trouble:
        doubt = "which says nothing of the service"
    elif side and side.link_status == "up":
        doubt = f"but {name} is linked to it, and heard from it {side.last_io_seconds} s ago"
    elif not _admitted(pair):
        doubt = f"but its ip_filter may keep this machine out: it is not as wide as that of {name}, which answers"
    else:
        return None
    forced = shlex.join(("ccr-avn", "evacuate", *want.clouds, "--forced", "--allow-data-loss", "--only", name))
    helps = f"{primary.hint}; " if primary.hint else ""
    return f"{primary.trouble_of(pair.primary_name)}; {doubt}", f"{helps}if it is lost: {forced}"


def _admitted(pair: Pair) -> bool:
    """Whether its primary's filter admits this machine, as its replica's does."""
    every, those = (
        set(networks(one.user_config.get("ip_filter", DEFAULTS["ip_filter"]))) if one else set()
        for one in (pair.primary, pair.replica)
    )
    return "0.0.0.0/0" in every or those <= every


def _not_whole(pair: Pair, replica: Look, want: Want) -> tuple[str, str] | None:
    """Why a replica has not all of its primary's data."""
    side, name = replica.side, pair.replica_name
    hint = f"ccr-avn failover {name} --allow-data-loss --force-partial"
    if side is None or side.loading:
        return f"{name} is loading its data", hint
    if side.sync_in_progress or not side.has_a_copy:
        return f"{name} has not completed its initial sync", hint
    applied = want.rejections.judge(side, pair.primary_name, name)
    return (applied.reason, applied.hint) if side.rejected and applied.verdict == "stop" else None


def _not_healthy(pair: Pair, looks: tuple[Look, Look], link: str, behind: int | None, want: Want) -> tuple[str, str]:
    """Why a switchover would not go, and what helps; empty where it would."""
    primary, follower = looks
    name, replica = pair.primary_name, pair.replica_name
    force = f"if it is lost: ccr-avn failover {replica} --allow-data-loss"
    if primary.side is None:
        lives = primary.ours or primary.answered
        return primary.trouble_of(name), (lives and primary.hint) or force
    if link != "up":
        words = {**NOT_LINKED, "down": "link down", "syncing": "still copying"}
        hint = f"ccr-avn verify {name} {replica} --level link --link-timeout 300"
        return words.get(link, f"link {link}"), hint
    if behind is not None and behind > want.max_lag_bytes:
        hint = f"allow more: --max-lag-bytes {behind}"
        return f"{behind} bytes behind, more than {want.max_lag_bytes}", hint
    applied = follower.side and want.rejections.judge(follower.side, name, replica)
    return (applied.reason, applied.hint) if applied and applied.verdict == "stop" else ("", "")
