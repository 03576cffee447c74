"""Which services are a drill's, as tags and journals show, and which of them may be terminated."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ccr_avn import clock
from ccr_avn.aiven import avn, lineage
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.models import Service
from ccr_avn.plan.model import Finding, Sent, go, stop
from ccr_avn.units import local_time

CREATE, TERMINATE = "temporary-replica", "terminate"  # the steps that make the temporary replica, and end it
TAG = "ccr_drill"  # the tag that names the run which made a temporary replica

MADE = "ccr_drill_made"
"""The tag that proves it: ``CREATED-PRIMARY-UNTIL-DIGEST``, three times in seconds since 1970.

When it and its primary were created, until when its drill may run (0: it is kept), and a digest of these with the run
and the service's name: a fork, a namesake, a renamed service and one with copied tags differ in one of them.
"""

_MADE = re.compile(r"(\d+)-(\d+)-(\d+)-[0-9a-f]{24}")

NAMED = re.compile(r"(.+)-drill-([0-9a-f]{6})")

CLOCKS = 60.0  # seconds by which the clocks of this machine and of the platform may be apart
SENT_WITHIN = 900.0  # seconds after its command was started in which a creation may have been carried out


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What is known of how a service came to be. Times are in seconds since 1970.

    ``sent``: how our creation of it ended; ``created``: when it was made, as it was first seen, None: never seen;
    ``began``: when the creation was sent; ``promoted``: the drill itself promoted it; ``running``: it still runs here.
    """

    name: str
    primary: str
    run: str
    sent: Sent | None
    created: int | None = None
    began: float | None = None
    promoted: bool = False
    running: bool = False


def name_of(primary: str, run: str) -> str:
    """Whoever sees it in a list knows what it is; 64 characters at most."""
    return f"{primary[:51]}-drill-{run[-6:]}"


def made_tag(run: str, service: Service | None, primary: Service | None, lasts: float) -> str:
    """``lasts``: seconds from its creation until its drill has ended, 0: it is kept."""
    made, source = (lineage.created(one) if one else None for one in (service, primary))
    if service is None or made is None or source is None:
        return f"{MADE}={lineage.UNKNOWN}"
    until = made + round(lasts) if lasts else 0
    return f"{MADE}={made}-{source}-{until}-{_digest(run, service.name, made, source, until)}"


def tagged_until(service: Service) -> int | None:
    """Until when its drill may run; None: its tags are not those that a drill set on this very service."""
    found = _MADE.fullmatch(str(service.tags.get(MADE)))
    made, source, until = (int(one) for one in found.groups()) if found else (0, 0, 0)
    digest = _digest(str(service.tags.get(TAG)), service.name, made, source, until)
    whole = found and found.group().endswith(digest) and lineage.created(service) == made
    return until if whole else None


def _digest(run: str, name: str, *times: int) -> str:
    return hashlib.sha256(" ".join((run, name, *map(str, times))).encode()).hexdigest()[:24]


def made_of(service: Service, known: Sequence[Made]) -> Made | None:
    """What is known of its creation; where nothing matches, of the newest of its name."""
    same = [one for one in known if one.name == service.name]
    return next((one for one in same if not not_by(service, one)), same[0] if same else None)


def run_of(service: Service, known: Sequence[Made], recorded: Sequence[lineage.Recorded] = ()) -> str:
    """The drill whose service it is, proven by its tags or a journal; empty: none's, or it was promoted for good.

    ``recorded``: the promotions in the journals on this machine.
    """
    if lineage.was_promoted(service, recorded):
        return ""
    if tagged_until(service) is not None:
        return str(service.tags[TAG])
    made = made_of(service, known)
    return made.run if made and not not_by(service, made) else ""


def temporary(
    service: Service, known: Sequence[Made], recorded: Sequence[lineage.Recorded], hint: str
) -> Finding | None:
    """What to say where it would be taken for a lasting replica; None: it is no drill's. ``known``, ``recorded``: as above."""
    if not (run := run_of(service, known, recorded)):
        return None
    made = f", created {service.created:%F %T} UTC" if service.created else ""
    what = f"{service.name} is the temporary replica of a drill"
    return stop(what, detail=f"run {run}{made}; it is meant to be terminated", hint=hint)


def judge_ours(found: Service, made: Made | None, project: Project) -> Finding:
    """May it be terminated: only what a drill provably made, and what is still the same. Any doubt: it is left.

    ``made``: what the run itself, or a journal on this machine, says of it.
    """
    tags = found.tags
    if TAG not in tags and made is None and not NAMED.fullmatch(found.name):
        why = f"it has no tag {TAG}, and is in no journal"
        return stop(f"{found.name} was not created by a drill", detail=why, hint="")
    if lineage.was_promoted(found):
        what = f"{found.name} no longer belongs to a drill: it was promoted by a switchover or failover"
        return stop(what, detail=f"its tag {lineage.FROM} is {tags[lineage.FROM]}", hint="")
    doubts = [_unproven(found, made)]
    if lineage.PROMOTING in tags:
        doubts.append("it is marked as being promoted")
    if origin := tags.get(lineage.FROM):
        doubts.append(f"it was promoted in place of {origin}, by a switchover or failover")
    rows = (row for row in found.integrations if row.enabled and row.source == found.name)
    if feeds := sorted({row.dest or row.dest_endpoint or row.type for row in rows}):
        doubts.append(f"it is the source of integrations: {', '.join(feeds)}")
    if found.protected:
        doubts.append("someone has protected it against termination")
    if any(doubts):
        return not_touched(found, project, "; ".join(filter(None, doubts)))
    return go(f"{found.name} is the temporary replica of a drill, unchanged since", state=found.state)


def _unproven(found: Service, made: Made | None) -> str:
    """Why it is not certain that a drill created it; empty: it is."""
    tag = found.tags.get(TAG)
    if lineage.created(found) is None:
        return "its creation time is not shown"
    if tag is None:
        none = f"it has no tag {TAG}, and no journal on this machine shows that a drill created it"
        return not_by(found, made) if made else none
    if tagged_until(found) is None:
        return f"its tags {TAG} and {MADE} are not those that a drill sets on the service it created"
    return f"its tag {TAG} is {tag}, not {made.run}" if made and made.run != tag else ""


def still_running(found: Service, made: Made | None) -> str:
    """Why its drill may need it yet; empty: it has ended."""
    until = tagged_until(found)
    if until == 0:
        return "its drill was started with --keep"
    if made:
        return f"its drill {made.run} is still running on this machine" if made.running else ""
    if until and until + CLOCKS > clock.now():
        return f"its drill {found.tags[TAG]} may be running elsewhere, until {local_time(until)}"
    return ""


def not_by(found: Service, made: Made) -> str:
    """Why it is not what a run created, by name and time; empty: it is."""
    created = lineage.created(found)
    if made.sent == "answered" and None not in (made.created, created):
        return "" if created == made.created else "its creation time differs from the one first seen"
    named = NAMED.fullmatch(found.name)
    if made.sent in (None, "refused") or made.began is None or not named or named.group(2) != made.run[-6:]:
        return "its creation by the drill was not confirmed, and its name is not one that a drill would choose"
    if created is None or not made.began - CLOCKS <= created <= made.began + SENT_WITHIN:
        return "it was not created when the drill sent its request"
    return "" if found.source in (made.primary, None) else f"it replicates {found.source}, not {made.primary}"


def terminate_words(project: Project, found: Service | str) -> str:
    """As a person types it; what is protected against it is unprotected first."""
    name = found if isinstance(found, str) else found.name
    words = avn.service_terminate(project, name).text
    if isinstance(found, str) or not found.protected:
        return words
    return f"{avn.service_update(project, name, '--disable-termination-protection').text} && {words}"


def not_touched(found: Service, project: Project, why: str) -> Finding:
    return stop(
        f"{found.name} is not touched: it is not certain that a drill created it and that no one else uses it",
        detail=why,
        hint=f"inspect it: avn service get {found.name}; if no one needs it: {terminate_words(project, found)}",
    )
