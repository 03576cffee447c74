"""A pair as it is seen: its facts, and its health with the reasons for it; also as plain data, and as a line for Nagios."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ccr_avn.aiven.models import Service
from ccr_avn.history.story import Story
from ccr_avn.monitoring.collect import NO_LOOK, Look, admission
from ccr_avn.monitoring.pairs import Pair
from ccr_avn.printable import for_nagios, printable
from ccr_avn.procedures.setting import Setting
from ccr_avn.valkey.diagnose import Admission
from ccr_avn.valkey.replication import lag_of, link_of

Health = Literal["ok", "warning", "unknown", "critical"]
WORSE: tuple[Health, ...] = ("ok", "warning", "unknown", "critical")
"""From good to bad: what is unknown may be critical, so it outweighs a warning."""

CODES: dict[Health, int] = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}
"""Exit codes as those of Nagios' plugins."""

Side = tuple[str, str, Service | None, Look]
"""The role and the name of a service, what is listed of it, and what its data plane answered."""

Words = tuple[str, ...]
Verdict = tuple[Health, str, Words]
"""How bad it is, why, and the next command to type; no words: none can help."""

OLD = {
    "closed": "old primary, closed",
    "open": "old primary, still open",
    "unknown": "old primary, unknown whether closed",
}

RECENT = 30 * 3600.0
"""Seconds that a backup counts as recent: they are daily at the rarest, with some hours to take one."""

SHOWN = 5
"""Pairs whose trouble is shown; of the rest only the number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What pairs are judged by. ``warn``, ``crit``: the lag in bytes from which a pair is a warning, and critical.

    ``unfinished``: the runs on this machine that have no end.
    """

    at: Setting
    warn: int = 10 * 1024 * 1024
    crit: int = 100 * 1024 * 1024
    unfinished: tuple[Story, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairStatus:
    """A pair, or a service without a replica. What isn't known is None.

    ``related``: open services that share its primary's history, and nothing records why; ``later``: those of them whose
    history began as the primary's. ``verdicts``: what to say about it.
    """

    pair: Pair
    primary: Look = NO_LOOK
    replica: Look = NO_LOOK
    known: Known
    related: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    @property
    def sides(self) -> tuple[Side, ...]:
        """Without a replica there is one."""
        pair = self.pair
        primary: Side = ("primary", pair.primary_name, pair.primary, self.primary)
        replica: Side = ("replica", pair.replica_name, pair.replica, self.replica)
        return (primary, replica) if pair.replica_name else (primary,)

    @property
    def health(self) -> Health:
        return max((health for health, *_ in self.verdicts), key=WORSE.index, default="ok")

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(reason for _, reason, _ in self.verdicts)

    @property
    def next(self) -> tuple[Words, ...]:
        """The commands that can help, the first one first."""
        return tuple(dict.fromkeys(words for *_, words in self.verdicts if words))

    @property
    def standing(self) -> str:
        """What the pair, or the service alone, is."""
        if self.pair.missing:
            return "missing"
        if self.pair.drill is not None:
            return "drill's service"
        if self.admission:
            return OLD[self.admission.state]
        if self.pair.is_current:
            return "current primary"
        if self.pair.replica_name:
            return "pair"
        return "fork or unrecorded promotion" if self.related else "single"

    @property
    def admission(self) -> Admission | None:
        """Whether an old primary still accepts clients."""
        return admission(self.pair.primary, self.primary) if self.pair.primary and self.pair.past.is_old else None

    @property
    def link(self) -> str:
        if self.replica == NO_LOOK:
            return "-"
        state = link_of(self.primary.side, self.replica.side)
        return "up, primary unknown" if state == "up" and not self.primary.side else state

    @property
    def lag_bytes(self) -> int | None:
        return lag_of(self.primary.side, self.replica.side)

    @property
    def last_io_seconds(self) -> int | None:
        return self.replica.side.last_io_seconds if self.replica.side else None

    @property
    def backup_age(self) -> int | None:
        """Seconds since the newest backup."""
        backups = self.pair.primary.backups if self.pair.primary else ()
        return self._since(max((one.taken for one in backups), default=None))

    @property
    def age(self) -> int | None:
        """Of a drill's service, in seconds."""
        made = self.pair.drill is not None and self.pair.services
        return self._since(made[-1].created if made else None)

    def _since(self, moment: datetime | None) -> int | None:
        return None if moment is None else max(0, round(self.known.at.now - moment.timestamp()))

    @property
    def exposure(self) -> tuple[str, ...]:
        """What an outage would hit harder than it need."""
        primary, age = self.pair.primary, self.backup_age
        if self.pair.past.is_old:
            return ()  # nothing depends on it any more
        found = [] if self.pair.replica_name else ["no replica"]
        if primary and (primary.node_count or len(primary.nodes)) == 1:
            found.append("single node")
        if primary and (age is None or age > RECENT):
            found.append("no backup" if age is None else "no recent backup")
        open_to_termination = [one.name for one in self.pair.services if not one.protected]
        if open_to_termination:
            which = f" ({open_to_termination[0]})" if len(open_to_termination) < len(self.pair.services) else ""
            found.append(f"termination protection off{which}")
        return tuple(found)

    def as_dict(self) -> dict[str, Any]:
        """As plain data, without secrets."""
        pair = self.pair
        return {
            "primary": pair.primary_name,
            "replica": pair.replica_name or None,
            "services": [_service(side, elsewhere=pair.elsewhere) for side in self.sides],
            "standing": self.standing,
            "promoted_from": pair.past.origin or None,
            "successors": list(pair.past.successors),
            "closed": self.admission.why if self.admission and self.admission.state == "closed" else None,
            "shares_history_with": list(self.related),
            "drill": None if pair.drill is None else {"run": pair.drill or None, "age_seconds": self.age},
            "integration": pair.integration,
            "link": self.link,
            "lag_bytes": self.lag_bytes,
            "last_io_seconds": self.last_io_seconds,
            "backup_age_seconds": self.backup_age,
            "exposure": list(self.exposure),
            "health": self.health,
            "reasons": list(self.reasons),
            "next": [list(words) for words in self.next],
        }


def _service(side: Side, *, elsewhere: bool) -> dict[str, Any]:
    role, name, service, look = side
    absent = {"type": None, "cloud": None, "plan": None, "state": "elsewhere" if elsewhere else "gone"}
    facts = {key: getattr(service, key) for key in absent} if service else absent
    data_plane = None
    if seen := look.side:
        data_plane = {"role": seen.role, "offset": seen.offset, "history": seen.replid}
        data_plane["writes_paused_seconds"] = seen.paused_seconds
    return {"role": role, "name": name, **facts, "data_plane": data_plane, "trouble": look.trouble or None}


def overall(found: Iterable[PairStatus]) -> Health:
    """The one verdict that every format and exit code gives; unknown where there is nothing to judge."""
    judged = (one.health for one in found if one.pair.counts or one.health != "ok")
    return max(judged, key=WORSE.index, default="unknown")


def nagios_line(found: tuple[PairStatus, ...], left_out: tuple[str, ...] = ()) -> tuple[str, int]:
    """The line with performance data, and the exit code. Services that never were in a pair don't count. ``left_out``: what can't be read."""
    judged = tuple(one for one in found if one.pair.counts or one.health != "ok")
    forks = " and ".join(dict.fromkeys(one.pair.primary_name for one in found if one.related))
    notes = (*((f"{forks} share a history (fork or unrecorded promotion)",) if forks else ()), *left_out)
    if not judged:
        return f"CCR UNKNOWN - {for_nagios('; '.join(('there is no pair', *notes)))}", CODES["unknown"]
    health = overall(judged)
    line = f"CCR {health.upper()} - {for_nagios('; '.join((_nagios_text(judged), *notes)))}"
    figures = " ".join(part for one in judged for part in _performance(one))
    return (f"{line} | {figures}" if figures else line), CODES[health]


def _nagios_text(found: tuple[PairStatus, ...]) -> str:
    bad = sorted((one for one in found if one.health != "ok"), key=lambda one: -WORSE.index(one.health))
    if bad:
        shown = (
            f"{one.pair.name}: {', '.join((*one.reasons, *(f'next: {shlex.join(words)}' for words in one.next[:1])))}"
            for one in bad[:SHOWN]
        )
        more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        return f"{len(bad)} of {len(found)} not OK: {'; '.join(shown)}{more}"
    pairs = sum(bool(one.pair.replica_name) for one in found)
    old = sum(one.standing == "old primary, closed" for one in found)
    parts = [f"{pairs} {'pair' if pairs == 1 else 'pairs'} OK"] if pairs else []
    parts += [f"{old} old {'primary' if old == 1 else 'primaries'} closed"] if old else []
    return ", ".join(parts)


def _performance(one: PairStatus) -> tuple[str, ...]:
    name = re.sub(r"[\s'=|]", "_", printable(one.pair.replica_name))  # in a label these mean something
    lag = () if one.lag_bytes is None else (f"{name}_lag={one.lag_bytes}B;{one.known.warn};{one.known.crit};0",)
    heard = () if one.last_io_seconds is None else (f"{name}_last_io={one.last_io_seconds}s;;;0",)
    return (*lag, *heard)
