"""The last known state of a run that failed or was killed, and the command that resumes it."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ccr_avn.aiven.avn import Project, service_update
from ccr_avn.history import journal
from ccr_avn.history.records import read
from ccr_avn.history.story import Story, summarize
from ccr_avn.procedures import old_primary
from ccr_avn.procedures.drill.ours import CREATE, TERMINATE
from ccr_avn.procedures.gates.settings import NOBODY, networks
from ccr_avn.procedures.seen import CARRIES
from ccr_avn.procedures.setting import Setting
from ccr_avn.units import iso, local_time

LASTING = ("enable", "switchover", "failover")
"""Commands whose unfinished runs leave a pair that is not what it seems."""

LATEST = 2.0**32
"""Seconds since 1970: a moment after this, in the year 2106, is none."""


def next_command(story: Story) -> tuple[str, ...]:
    """What resumes the run: the same command, which checks first. Empty when nothing is left to do."""
    if story.state == "done" or not story.argv:
        return ()
    project = ("--project", story.facts.project) if story.facts.project else ()
    match temporary_replica(story) if story.command == "drill" else "":
        case "terminated" | "kept, promoted":
            return ()
        case "may be there":
            return ("ccr-avn", "drill", "--clean", "--only", story.facts.temporary_replica, *project)
    given = any(word.partition("=")[0] == "--project" for word in story.argv)
    return ("ccr-avn", *story.argv, *(() if given else project))


def temporary_replica(story: Story) -> str:
    """What became of the temporary replica, as far as the journal shows."""
    step, made = story.step(TERMINATE), story.step(CREATE)
    if step and step.noted.gone:
        return "terminated"
    if story.result.terminate:
        return "kept, promoted"
    sent = made is not None and made.sent is not None
    return "may be there" if sent and story.changed is not False else "not made"


def unfinished(project: str | None, now: float) -> tuple[Story, ...]:
    """Of each pair the run on this machine that changed something and has no end, where no later one on it ended well.

    It was killed, or is still running. What a promotion had not yet sent leaves nothing behind but its write pause.
    ``now``: seconds since 1970.
    """
    found, settled = [], set[tuple[str, ...]]()
    for path, about in journal.of(project, *LASTING):
        if "--check" in about.argv or about.services in settled or not (last := _last_line(path)):
            continue
        if last.get("ok") is True:
            settled.add(about.services)
        if last.get("event") == "RunEnded":
            continue
        story = summarize(read(path))
        lasts = about.command == "enable" or standing(story) or (_paused_until(story) or 0) > now
        if story.changed is not False and lasts:
            settled.add(about.services)
            found.append(story)
    return tuple(found)


def _last_line(path: Path) -> dict[str, Any]:
    """To read all of it takes fifty times as long. Of one that is cut off: that it has no end; empty: it can't be read."""
    try:
        last = json.loads(path.read_bytes().rstrip().rpartition(b"\n")[2])
    except OSError:
        return {}
    except ValueError:
        last = None
    return last if isinstance(last, dict) else {"event": None}


def last_known(story: Story, now: float | None = None) -> tuple[str, ...]:
    """Of a run that has no end or failed: sentences on where it stood.

    ``now``: seconds since 1970, for who reads it at once: times are then local, and how long it is until then.
    """
    if story.state == "done":
        return ()
    errors = tuple(one for one in (story.result.error, story.result.detail) if one)
    if not story.steps:  # of an evacuation: a pair's own journal has more
        states = [one.state for one in story.pairs]
        how_far = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        return (*((how_far,) if how_far else ()), *errors)
    done = [step for step in story.steps if step.shown or step.outcome == "failed"]
    at = [step for step in story.steps if step.outcome in ("under way", "stopped")]
    said = [f"last finished step: {done[-1].slug}: {done[-1].finding}" if done else "no step had finished"]
    said += [f"{step.outcome}: {step.slug}" + (f": {step.finding}" if step.finding else "") for step in at]
    return (*said, *errors, *_consequence(story, now))


def standing(story: Story) -> dict[str, Any]:
    """The same for programs, of a run that ended behind its promotion; empty for all others."""
    promote, accepts = story.step("promote"), story.step("accepts-writes")
    if story.state == "done" or story.command == "drill" or promote is None:
        return {}
    if not promote.shown and (promote.sent is None or story.changed is False):
        return {}
    promoted = promote.shown or bool(accepts and accepts.shown) or story.result.promoted
    ends = [step for step in story.steps if step.slug in ("closed", "power-off")]
    ways = () if _lacks_data(story) else story.result.ways_to_close
    if ways is None:
        setting = Setting(project=Project(story.facts.project or None))
        fence = old_primary.holding(setting, story.primary)
        off = service_update(setting.project, story.primary, "--power-off").text
        ways = (off, fence) if promoted else (fence,)  # else it may be the only primary
    until = _paused_until(story)
    return {
        "new_primary": story.replica,
        "promoted": promoted,
        "old_primary": story.primary or None,
        "old_primary_closed": any(step.shown and not step.noted.skipped for step in ends),
        "writes_paused_until": iso(until) if until else None,
        "ways_to_close": list(ways),
    }


def reopening(story: Story) -> dict[str, Any]:
    """The ip_filter that the old primary had before a switchover, and the commands that put it back.

    It stands in the journal before anything is changed: afterwards nobody else knows it.
    """
    pair = story.step("pair")
    if story.command != "switchover" or pair is None or "ip_filter" not in pair.found.facts or not story.primary:
        return {}
    before = pair.found.facts["ip_filter"]
    if networks(before) == [NOBODY]:
        return {}  # it was closed already; an earlier run has the one from before
    setting = Setting(project=Project(story.facts.project or None))
    restore = list(old_primary.restoring(setting, story.primary, before))
    return {"service": story.primary, "ip_filter": before, "restore": restore}


def _consequence(story: Story, now: float | None) -> Iterable[str]:
    stands, old, fence = standing(story), story.primary, story.step("fence")
    if story.command == "drill":
        name = story.facts.temporary_replica
        became = {
            "may be there": f"{name} may exist, and is then billed",
            "terminated": f"{name} was terminated and is gone",
            "kept, promoted": f"{name} is kept, and is billed",
        }
        yield f"{became.get(temporary_replica(story), 'nothing was created')}; {old} was not changed"
    elif not stands and story.state == "open" and fence and fence.sent is not None:
        paused = f"the write pause on {old}: {fence.undone}" if fence.undone else _paused(story, now)
        yield f"nothing was promoted; {paused}"
    elif stands:
        if _lacks_data(story):
            yield f"{story.replica} was promoted, and must not take over: it does not have the data of {old or 'its primary'}"
        elif stands["promoted"]:
            yield f"the promotion was sent and took effect: {story.replica} is the primary now"
        else:
            yield "the promotion was sent; whether it took effect is unknown: run the same command again, it checks first"
        if old and stands["old_primary_closed"]:
            yield f"{old} is closed"
        elif old and _lacks_data(story):
            yield _paused(story, now)
            project = Project(story.facts.project or None)
            yield f"keep applications on {old}; to resume writes there: {project.command('ccr-avn', 'unfence', old, '--force')}"
        elif old:
            yield _paused(story, now)
            yield f"{old} is not closed yet: run the same command again before writes resume there"
            yield f"other ways to keep writers off {old}: " + "; ".join(stands["ways_to_close"])


def _lacks_data(story: Story) -> bool:
    """Whether the promoted service was found to lack the data of its primary: that one stays in use."""
    return any(step.slug in CARRIES and step.found.verdict == "stop" for step in story.steps)


def _paused(story: Story, now: float | None) -> str:
    service, until = story.primary, _paused_until(story)
    if until is None:
        return f"how long writes on {service} stay paused is unknown: at most --fence-ttl or --promote-timeout"
    if now is None:
        return f"writes on {service} are paused until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M:%S} UTC"
    if until <= now:
        return (
            f"writes on {service} were paused until {local_time(until)}, {now - until:.0f} s ago: it may accept writes"
        )
    return f"writes on {service} are paused until {local_time(until)}, {until - now:.0f} s from now"


def _paused_until(story: Story) -> float | None:
    """Seconds since 1970, as the last step said that paused or lengthened the pause."""
    said = [step.noted.writes_paused_until for step in story.steps] + [story.result.writes_paused_until]
    known = [one for one in said if one is not None and 0 < one < LATEST]
    return known[-1] if known else None
