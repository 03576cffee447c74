"""Judges what is wrong with a service or a pair, how severe it is, and which command can help."""

import shlex
from collections.abc import Iterable
from dataclasses import replace

from ccr_avn.aiven import avn
from ccr_avn.aiven.lineage import TAGGED
from ccr_avn.aiven.models import Service
from ccr_avn.history.journals import drills_of
from ccr_avn.history.resume import next_command
from ccr_avn.monitoring.collect import NO_LOOK, Looks, closed, look_at_all
from ccr_avn.monitoring.pairs import UNNAMED, Pair, chosen, pairs_of, with_expected
from ccr_avn.monitoring.status import Known, PairStatus, Verdict
from ccr_avn.procedures.gates.links import as_compared
from ccr_avn.procedures.gates.pair_state import is_recent
from ccr_avn.procedures.gates.settings import NOBODY
from ccr_avn.units import format_duration, local_time
from ccr_avn.valkey.diagnose import Admission
from ccr_avn.valkey.replication import NOT_LINKED


def judged(
    services: tuple[Service, ...],
    names: tuple[str, ...],
    expected: tuple[tuple[str, str], ...],
    known: Known,
    data_timeout: float | None,
) -> tuple[PairStatus, ...]:
    """The pairs of these names, all without names, and those that are expected.

    ``data_timeout``: seconds for all servers to answer; None: they are not asked.
    """
    wanted = {name for pair in expected for name in pair}
    made = {name: run for name, run in drills_of(services, known.at.journals).items() if name not in wanted}
    every = pairs_of(services, known.at.journals.promotions, made)
    pairs = with_expected(chosen(every, names), every, expected)
    any_single = any(not one.replica_name and one.drill is None for one in pairs)
    among = tuple(one for one in every if one.drill is None and one.primary) if any_single else ()
    if data_timeout is None:
        return pair_statuses(pairs, {}, known, among=among)
    asked = [one for pair in pairs for one in pair.services] + [one.primary for one in among if one.primary]
    return pair_statuses(pairs, look_at_all(asked, known.at, limit=data_timeout), known, among=among)


def pair_statuses(
    pairs: tuple[Pair, ...], looks: Looks, known: Known, *, among: tuple[Pair, ...] = ()
) -> tuple[PairStatus, ...]:
    """Every pair, and every service without a replica. ``among``: the others, with which one may share its history."""
    later = _later((*among, *pairs), looks)
    found = []
    for pair in pairs:
        name = pair.primary_name
        earlier = tuple(old for old, new in later.items() if name in new)
        seen = PairStatus(
            pair=pair,
            primary=looks.get(name, NO_LOOK) if pair.primary else NO_LOOK,
            replica=looks.get(pair.replica_name, NO_LOOK) if pair.replica else NO_LOOK,
            known=known,
            related=(*earlier, *later.get(name, ())),
            later=later.get(name, ()),
        )
        found.append(replace(seen, verdicts=tuple(_verdicts(seen))))
    return tuple(found)


def _later(pairs: tuple[Pair, ...], looks: Looks) -> dict[str, tuple[str, ...]]:
    """The open services whose earlier history is that of another open one, by that one's name, without a record of why.

    It proves a common origin and nothing else: forks are ordinary.
    """
    singles = {pair.primary_name: pair for pair in pairs if pair.drill is None}
    sides = {name: look.side for name, look in looks.items() if name in singles and look.side}
    masters = {side.replid: name for name, side in sides.items() if side.role == "master"}
    found: dict[str, tuple[str, ...]] = {}
    for new, side in sides.items():
        old = masters.get(side.replid2) if side.was_promoted else None
        if old and new not in singles[old].past.successors:
            found[old] = (*found.get(old, ()), new)
    return found


def _verdicts(one: PairStatus) -> Iterable[Verdict]:
    if one.pair.drill is None:
        yield from _of_a_pair(one)
    else:  # whatever else it does is the drill's
        name = one.pair.replica_name or one.pair.primary_name
        words = ("ccr-avn", "drill", "--clean", "--only", name, *one.known.at.project.flag)
        yield "ok", f"{name} was made by a drill, and is billed until it is terminated", words
    if one.related:
        shared = f"{one.pair.primary_name} shares its history with {' and '.join(one.related)}"
        yield "ok", f"{shared}: a fork, or a promotion that was not recorded", ()


def _of_a_pair(one: PairStatus) -> Iterable[Verdict]:
    pair = one.pair
    for run in one.known.unfinished:
        if {pair.primary_name, pair.replica_name or pair.primary_name} <= {run.primary, run.replica}:
            what = f"run {run.run} on this machine ({run.command}) has not ended: it was killed, or is still running"
            yield "warning", what, next_command(run)
    if pair.missing:
        yield "critical", f"the expected pair is missing: {pair.missing}", ()
        if one.replica.side and one.replica.side.role == "slave":
            hidden = "its promotion is in progress, or this token can't see the integration"
            yield "critical", f"{pair.replica_name} is still a replica, though: {hidden}", ()
        return
    yield from _succession(one)
    yield from _paused(one)
    if pair.past.is_old and not pair.replica_name:
        return  # how it fares is nobody's concern, as long as it is closed
    yield from _sides(one)
    if pair.replica_name:
        yield from _replication(one)


def _succession(one: PairStatus) -> Iterable[Verdict]:
    pair, name, past = one.pair, one.pair.primary_name, one.pair.past
    if one.admission:
        yield from _old_primary(one, one.admission)
    elif past.claimants and pair.primary and not closed(pair.primary, one.primary):
        later = " and ".join(past.claimants)
        what = f"{later} was promoted from a service named {name}; its tags do not say whether it was this one"
        yield "warning", what, ()
    for sent in past.sent:
        if is_recent(sent, one.known.at.now) and sent.new not in past.successors:
            what = (
                f"the promotion of {sent.new} from {name} was sent at {local_time(sent.sent_at)} and may still happen"
            )
            yield "warning", what, ("ccr-avn", "switchover", name, sent.new, *one.known.at.project.flag)
    if pair.is_current:
        yield "warning", f"pair lost: no replica since it was promoted from {past.origin}", ()


def _old_primary(one: PairStatus, found: Admission) -> Iterable[Verdict]:
    name, project, recorded = one.pair.primary_name, one.known.at.project, one.pair.past.recorded
    promotions = "; ".join(
        f"{new.name} was promoted from it"
        if new.seen
        else f"the promotion of {new.name} was sent, and no run saw whether it took effect"
        for new in recorded
    )
    what = f"{name} is an old primary: {promotions}"
    if found.state == "open":
        closing = avn.service_update(project, name, "-c", f'ip_filter=["{NOBODY}"]').argv
        split = f"it is still open: {found.why}; writes to it exist only there (split brain)"
        yield "critical", f"{what}, and {split}", tuple(str(word) for word in closing)
    elif found.state == "unknown":
        yield "unknown", f"{what}, and whether it is closed is unknown: {found.why}", ()
    elif one.pair.replica_name:
        yield "warning", f"{one.pair.replica_name} follows an old primary: {promotions}", ()
    else:
        yield "ok", f"{what}, and it is closed: {found.why}", ()
    for new in recorded:
        if TAGGED not in new.proofs:
            lost = f"only a journal on this machine says that {new.name} was promoted from {name}: its tags do not"
            yield "warning", lost, ("ccr-avn", "switchover", name, new.name, *project.flag)


def _paused(one: PairStatus) -> Iterable[Verdict]:
    """By a switchover under way, one that was killed, or by hand; from any machine."""
    side, replica, flag = one.primary.side, one.replica.side, one.known.at.project.flag
    if not side or not side.paused_seconds:
        return
    name, is_old = one.pair.primary_name, one.pair.past.is_old
    what = f"writes on {name} are paused, for {format_duration(side.paused_seconds)} more"
    promoted = one.pair.replica_name if replica and replica.role == "master" else "".join(one.later[:1])
    if promoted and not is_old:
        yield "warning", what, ("ccr-avn", "switchover", name, promoted, *flag)
    elif is_old or any(name in (run.primary, run.replica) for run in one.known.unfinished):
        yield "warning", what, ()  # what is next was said with the promotion or the run
    else:
        unfence = shlex.join(("ccr-avn", "unfence", name, *flag))
        yield "warning", f"{what}, and then resume automatically; if no run is under way: {unfence}", ()


def _sides(one: PairStatus) -> Iterable[Verdict]:
    pair = one.pair
    for _, name, service, _ in one.sides:
        if name == UNNAMED and not pair.elsewhere:
            yield "warning", "its integration does not name its primary", ()
        elif service is None and not pair.elsewhere:
            yield "critical", f"{name} no longer exists", ()
        elif service and service.state == "POWEROFF":
            yield "critical", f"{name} is powered off", ()
        elif service and service.state != "RUNNING":
            yield "warning", f"{name} is {service.state}", ()
    for _, name, service, look in one.sides:
        if pair.counts and look.trouble and service and service.state != "POWEROFF":
            yield ("unknown" if look.ours else "critical"), look.trouble_of(name), ()


def _replication(one: PairStatus) -> Iterable[Verdict]:
    pair, link, lag, replica = one.pair, one.link, one.lag_bytes, one.replica.side
    if pair.row and not pair.row.active:
        yield "warning", "the integration is not active", ()
    if link == "down":
        since = f" for {replica.link_down_seconds} s" if replica and replica.link_down_seconds is not None else ""
        yield "critical", f"link down{since}", ()
    elif link == "syncing":
        yield "warning", "syncing: a full sync is in progress", ()
    elif link in NOT_LINKED:
        yield "critical", NOT_LINKED[link], ()
    if lag is not None and lag >= one.known.warn:
        yield ("critical" if lag >= one.known.crit else "warning"), f"{lag} bytes behind", ()
    # A command that a replica rejected is skipped: link and lag do not show what it lacks.
    name = pair.replica_name
    if replica and replica.rejected and as_compared(replica) not in one.known.at.journals.equal_by_value(name):
        what = f"{name} rejected {replica.rejected} command{'s' * (replica.rejected != 1)} from its primary"
        verify = ("ccr-avn", "verify", pair.primary_name, name, "--level", "values", *one.known.at.project.flag)
        yield "warning", what, verify
