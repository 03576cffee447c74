"""Decides what to do with each service of an evacuated cloud. Pure: from one list of services and their state."""

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from ccr_avn.aiven.lineage import TAGGED
from ccr_avn.aiven.models import Service
from ccr_avn.evacuate import EvacuationOptions
from ccr_avn.monitoring.collect import NO_LOOK, Look, Looks, closed
from ccr_avn.monitoring.pairs import Pair
from ccr_avn.procedures.gates.links import too_far_behind
from ccr_avn.procedures.gates.pair_state import both_promoted
from ccr_avn.procedures.gates.services import rebalancing
from ccr_avn.procedures.gates.settings import DEFAULTS, networks
from ccr_avn.procedures.setting import Setting
from ccr_avn.valkey.replication import NOT_LINKED, ReplicationInfo, lag_of, link_of

Action = Literal["switchover", "failover", "done", "skip", "refuse"]
"""done: moved by an earlier run, and nothing is left to do; skip: moved as well, and what is left can't be done now."""

LINK_UP = "link up"
"""The reason of a pair that is as it should be."""


@dataclass(frozen=True, kw_only=True)
class Want(EvacuationOptions):
    """An evacuation where it is to work."""

    at: Setting = field(default_factory=Setting)

    def leaves(self, cloud: str) -> bool:
        """Whether this cloud is being left."""
        return any(fnmatchcase(cloud, one) for one in self.clouds)

    def means(self, names: set[str], primary: Service | None) -> bool:
        """Whether a pair with these names is one to be moved."""
        return (
            (not self.only or bool(names & set(self.only)))
            and not names & set(self.excepted)
            and set(self.tag) <= (tags_of(primary) if primary else set())
        )


def tags_of(service: Service) -> set[str]:
    """As they are typed."""
    return {f"{key}={value}" for key, value in service.tags.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is done with one primary, and why. ``replica``: empty where it has none; ``hint``: the next command.

    ``others``: its other replicas, each with what happens to it. ``lag_bytes``: None where that is not known.
    """

    primary: str
    replica: str = ""
    action: Action
    reason: str
    hint: str = ""
    lag_bytes: int | None = None
    others: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.primary}/{self.replica}" if self.replica else self.primary

    @property
    def moves(self) -> bool:
        return self.action in ("switchover", "failover")

    def as_dict(self) -> dict[str, Any]:
        return {"pair": self.name, **asdict(self), "replica": self.replica or None}


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


def select(pairs: tuple[Pair, ...], looks: Looks, want: Want) -> Selection:
    here: dict[str, list[Pair]] = {}
    for pair in left_by(pairs, want):
        here.setdefault(pair.primary_name, []).append(pair)
    choices = [choice for group in here.values() if (choice := _chosen(group, looks, want))]
    names_here = {name for group in here.values() for pair in group for name in _names(pair)}
    names = {name for pair in pairs for name in _names(pair)}
    others = [pair for pair in pairs if pair.primary_name not in here]
    clouds = {pair.primary_name: pair.primary.cloud for pair in others if pair.primary}
    return Selection(
        choices=tuple(sorted(choices, key=lambda one: one.name)),
        replicas_here=tuple(
            sorted(one.replica_name for one in others if one.replica and want.leaves(one.replica.cloud))
        ),
        unknown=tuple(name for name in want.only if name not in names_here),
        unknown_excepted=tuple(name for name in want.excepted if name not in names),
        left_out=len(here) - len(choices),
        elsewhere=Counter(clouds.values()),
    )


def _names(pair: Pair) -> set[str]:
    return {pair.primary_name, pair.replica_name, *pair.past.successors} - {""}


def _chosen(group: list[Pair], looks: Looks, want: Want) -> Choice | None:
    """Of one primary. A replica that is named stands for itself, not for others. None: the options leave it out."""
    primary = group[0].primary
    meant = [pair for pair in group if want.means(_names(pair), primary)]
    choice = _choice(meant or group, looks, want)
    if choice.replica in want.excepted or not (meant or want.means({choice.primary, choice.replica}, primary)):
        return None
    kept = (pair.replica_name for pair in group if meant and pair not in meant)
    left_out = tuple(f"{name} stays a replica of the old primary; it was left out" for name in kept)
    return replace(choice, others=(*choice.others, *left_out))


def _choice(group: list[Pair], looks: Looks, want: Want) -> Choice:
    """What was promoted from it already comes before its remaining replicas: there is one promotion per primary."""
    pair = group[0]
    following = [one for one in group if one.replica_name and one.drill is None]
    if pair.past.is_old:
        return _promoted_before(pair, following, looks, want)
    if following:
        return _best(following, looks, want)
    name = pair.primary_name
    reason, hint = "it has no replica, so it can't be moved", f"ccr-avn enable {name} NEW --replica-cloud CLOUD"
    if pair.replica_name:
        reason += f" ({pair.replica_name} is the temporary replica of a drill)"
    if why := pair.primary and closed(pair.primary, looks.get(name, NO_LOOK)):
        reason = f"{why}, and it has no replica: it may have been moved, but no tag and no journal on this machine "
        reason += "records to which service"
        hint = f"name that service to see what can be proven: ccr-avn switchover {name} SERVICE --check"
    return Choice(action="refuse", primary=name, reason=reason, hint=hint)


def _promoted_before(pair: Pair, following: list[Pair], looks: Looks, want: Want) -> Choice:
    """One from which a service was promoted, as tags or a journal on this machine record."""
    service, name, successor = pair.primary, pair.primary_name, pair.past.recorded[0]
    look, forced = looks.get(name, NO_LOOK), want.mode == "forced"
    why_closed = closed(service, look) if service else "it no longer exists"
    promoted = f"{successor.name} was promoted from it"

    def choice(action: Action, reason: str, hint: str = "") -> Choice:
        others = tuple(f"{one.replica_name} follows the old primary" for one in following)
        return Choice(action=action, primary=name, replica=successor.name, reason=reason, hint=hint, others=others)

    if conflict := both_promoted(want.at.project, name, successor, pair.past.recorded):
        reason = f"{conflict.reason} ({conflict.detail})"
        return Choice(action="refuse", primary=name, reason=reason, hint=conflict.hint)
    if not successor.seen or (forced and TAGGED not in successor.proofs):
        sent = f"the promotion of {successor.name} was already sent; the remaining steps are done"
        return choice("failover" if forced else "switchover", sent)
    if why_closed or forced:
        return choice("done", f"{promoted}; {why_closed or 'it is not closed'}")
    if look.side or look.answered:
        return choice("switchover", f"{promoted}; it is not closed yet")
    silent = f"{promoted}; it does not answer ({look.trouble or 'not asked'}), so nothing more is done"
    return choice("skip", silent, f"avn service update {name} --power-off")


def _best(group: list[Pair], looks: Looks, want: Want) -> Choice:
    """The best of a primary's replicas; what is wrong with it decides when none will do."""
    judged = [judge(one, looks, want) for one in group]
    best, *rest = sorted(
        judged, key=lambda one: (not one.moves, one.lag_bytes is None, one.lag_bytes or 0, one.replica)
    )
    stays = (
        "stays a replica of the old primary; terminate it when it is no longer needed"
        if best.moves
        else "is not touched"
    )
    others = []
    for one in rest:
        lag = "lag unknown" if one.lag_bytes is None else f"{one.lag_bytes} bytes behind"
        others.append(f"{one.replica} {stays} ({lag if one.moves else one.reason})")
    return replace(best, others=tuple(others))


def judge(pair: Pair, looks: Looks, want: Want) -> Choice:
    """One pair on its own."""
    primary, replica = looks.get(pair.primary_name, NO_LOOK), looks.get(pair.replica_name, NO_LOOK)
    behind = lag_of(primary.side, replica.side)

    def choice(action: Action, reason: str, hint: str = "") -> Choice:
        old, new = pair.primary_name, pair.replica_name
        return Choice(action=action, primary=old, replica=new, reason=reason, hint=hint, lag_bytes=behind)

    if why := _impossible(pair, replica, want):
        return choice("refuse", *why)
    if replica.side and replica.side.role == "master":
        accepts = f"{pair.replica_name} already accepts writes; its integration is still listed"
        return choice("failover" if want.mode == "forced" else "switchover", accepts)
    unhealthy = _unhealthy(pair, primary, replica, behind, want)
    if want.mode == "forced" or (want.mode == "auto" and unhealthy and primary.side is None):
        why = None if want.mode == "forced" else _may_live(pair, primary, replica, want)
        if why := why or _incomplete(pair, replica, want):
            return choice("refuse", *why)
        reason = unhealthy[0] if unhealthy else "both answer"
        return choice("failover", f"forced; {reason}" if want.mode == "forced" else reason)
    if unhealthy:
        return choice("refuse", *unhealthy)
    moving = [rebalancing(side) for side in (pair.primary, pair.replica) if side]
    return choice("switchover", "; ".join((LINK_UP, *filter(None, moving))))


Why = tuple[str, str]
"""A reason, and what helps: the next command."""


def _impossible(pair: Pair, replica: Look, want: Want) -> Why | None:
    """What no mode gets around."""
    name = pair.replica_name
    another = f"ccr-avn enable {pair.primary_name} NEW --replica-cloud CLOUD"
    if pair.replica is None:
        return f"{name} {'is in another project' if pair.elsewhere else 'no longer exists'}", another
    if want.leaves(pair.replica.cloud):
        return f"{name} is in {pair.replica.cloud}, which is being evacuated too", another
    if not pair.replica.serving:
        return f"{name} is {pair.replica.state}", f"avn service wait {name}"
    if replica.side is None:
        return replica.trouble_of(name), replica.hint or f"ccr-avn gate last-known {name}"
    return None


def _may_live(pair: Pair, primary: Look, replica: Look, want: Want) -> Why | None:
    """Why a primary that could not be asked is not proven to be dead."""
    side, name = replica.side, pair.replica_name
    if primary.answered:
        doubt = "so it is not dead"
    elif primary.ours or not primary.trouble:
        doubt = "which says nothing about the service"
    elif side and side.link_status == "up":
        doubt = f"but {name} is linked to it, and heard from it {side.last_io_seconds} s ago"
    elif not _accepts_this_machine(pair):
        doubt = f"but its ip_filter may block this machine: it is stricter than that of {name}, which answers"
    else:
        return None
    forced = shlex.join(("ccr-avn", "evacuate", *want.clouds, "--forced", "--allow-data-loss", "--only", name))
    first = f"{primary.hint}; " if primary.hint else ""
    return f"{primary.trouble_of(pair.primary_name)}; {doubt}", f"{first}if it is lost: {forced}"


def _accepts_this_machine(pair: Pair) -> bool:
    """Whether its primary's filter does, as its replica's does."""
    primary, replica = (
        set(networks(one.user_config.get("ip_filter", DEFAULTS["ip_filter"]))) if one else set()
        for one in (pair.primary, pair.replica)
    )
    return "0.0.0.0/0" in primary or replica <= primary


def _incomplete(pair: Pair, replica: Look, want: Want) -> Why | None:
    """Why a replica has not all of its primary's data."""
    side, name = replica.side, pair.replica_name
    hint = f"ccr-avn failover {name} --allow-data-loss --force-partial"
    if side is None or side.loading:
        return f"{name} is loading its data", hint
    if side.sync_in_progress or not side.has_a_copy:
        return f"{name} has not completed its initial sync", hint
    return _rejected(pair, side, want) if side.rejected else None


def _unhealthy(pair: Pair, primary: Look, replica: Look, behind: int | None, want: Want) -> Why | None:
    """Why a switchover would not go."""
    name, follower = pair.primary_name, pair.replica_name
    if primary.side is None:
        lives = primary.ours or primary.answered
        force = f"if it is lost: ccr-avn failover {follower} --allow-data-loss"
        return primary.trouble_of(name), (lives and primary.hint) or force
    if (link := link_of(primary.side, replica.side)) != "up":
        words = {**NOT_LINKED, "down": "link down", "syncing": "still copying"}
        hint = f"ccr-avn verify {name} {follower} --level link --link-timeout 300"
        return words.get(link, f"link {link}"), hint
    if too_far := too_far_behind(behind, want.max_lag_bytes):
        return too_far, f"allow more: --max-lag-bytes {behind}"
    return _rejected(pair, replica.side, want) if replica.side else None


def _rejected(pair: Pair, side: ReplicationInfo, want: Want) -> Why | None:
    """Commands of its primary that the replica did not execute."""
    applied = want.at.rejections.judge(side, pair.primary_name, pair.replica_name)
    return (applied.reason, applied.hint) if applied.verdict == "stop" else None
