"""Plays a script, and judges it: what must always hold, whatever happens."""

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations
from operator import itemgetter
from typing import Any

from ccr_avn.aiven.lineage import FROM, PROMOTING
from tests.simulation import history
from tests.simulation.history import COMMANDS, KINDS, Accidents, Event, Script
from tests.simulation.world import OPTIONS, Application, Run, World, world

LAG = 30.0
"""Seconds by which reads lag at the most."""

TAKEN = "is the primary now"
"""What a command says of a promotion that it saw while it held the writes of the primary, whoever sent it."""

LACKS = "must not take over"
"""What a command says of a service that it promoted, and that turned out to lack the data."""

UNSEEN = 1.0
"""Seconds between a last look and its change, in which what a colleague does is no longer seen."""

LONGEST = 6 * 3600.0
"""Seconds of simulated time in which a command must end: the sum of all its limits is less."""


@dataclass
class Verdict:
    """``problems``: which rule broke, and how; ``moments``: each accident with the verb and the step under way."""

    script: Script
    problems: list[str] = field(default_factory=list)
    codes: list[tuple[str, int | None]] = field(default_factory=list)
    moments: list[tuple[str, str, str]] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    promoted: list[str] = field(default_factory=list)  # the services that were a replica once, and are none any more
    seconds: float = 0.0  # of simulated time


def play(script: Script) -> Verdict:
    verdict = Verdict(script)
    with world(script.seed) as made:
        history.SHAPES[script.shape][1](made)
        if script.writers:
            made.applications += [Application(made, name) for name in ("eu", "db") if name in made.fleet.servers]
            made.advance(15)
        first = made.type("ann", *_words(script.first))
        for event in script.events:
            _arrange(made, first, event, verdict)
        made.finish(first, LONGEST)
        made.advance(300)
        for run in made.runs:
            made.finish(run, LONGEST)
        verdict.problems += [problem for run in made.runs for problem in judged(made, run)]
        verdict.problems += _reaches_its_end(made, first, script)
        verdict.problems += [*_one_successor(made), *_ends_by_itself(made)]
        verdict.codes = [(run.verb, run.code) for run in made.runs]
        verdict.problems += sorted(f"the model lacks {name}" for name in made.fleet.unknown)
        still = {row.dest for row in made.platform.rows.values()}
        verdict.promoted = sorted({replica for _, replica in made.pairs.values()} - still)
        verdict.story = list(timeline(made))
        verdict.seconds = made.kernel.now
    return verdict


def _words(name: str) -> tuple[str, ...]:
    return (*COMMANDS[name][1], "--json")


def _arrange(made: World, first: Run, event: Event, verdict: Verdict) -> None:
    def happen() -> None:
        if event.kind == "command":
            made.type(event.who, *_words(event.name))
            return
        step = first.steps[-1] if first.steps else "-"
        verdict.moments.append((first.verb, event.name, step if first.code is None and first.alive else "after"))
        made.tell("accident", event.name)
        KINDS[event.name][1](Accidents(made, first, random.Random(event.draw)))

    if event.door:
        first.at_door.setdefault(event.door, []).append(happen)
    else:
        made.kernel.later(event.at, happen)


def calm(made: World) -> None:
    """From now on nothing goes wrong any more."""
    made.web.faults.clear()
    made.web.rights.clear()
    made.web.lag, made.fleet.promote_empty = 0.0, False
    made.platform.options = OPTIONS
    for name, server in list(made.fleet.servers.items()):
        server.lag, server.drops, server.no_pause = 0.001, 0, False
        made.fleet.heal(name)
    made.platform.outage_ended(list(made.fleet.servers))
    for one in made.applications:
        one.every = 30.0
    made.advance(900)


# -- the rules


def judged(made: World, run: Run) -> Iterator[str]:
    if run.alive and run.code is None:
        yield f"7: `{run.verb}` never ended; last step {run.steps[-1:]}"
        return
    yield from _only_its_own(made, run)
    yield from _terminates_only_its_drill(made, run)
    yield from _no_secret(made, run)
    if run.code is None:
        return
    if run.code in (1, 11):
        yield f"5: `{run.verb}` broke: {run.stderr.getvalue()[-2500:]}"
        return
    said = _envelope(run)
    if said is None:
        yield f"5: `{run.verb}` ended with {run.code} and printed no JSON: {run.out[-300:]}"
        return
    yield from _says_what_it_did(run, said)
    yield from _loses_nothing(made, run, said)
    yield from _one_takes_writes(made, run, said)
    yield from _closes_only_what_was_promoted(made, run)
    yield from _writes_wait(made, run)
    yield from _names_what_is_left(made, run)


def _envelope(run: Run) -> dict[str, Any] | None:
    try:
        found = json.loads(run.stdout.getvalue())
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _says_what_it_did(run: Run, said: dict[str, Any]) -> Iterator[str]:
    """5: exit code, ``changed`` and ``outcome`` agree with the platform's log."""
    if said["exit_code"] != run.code:
        yield f"5: `{run.verb}` ended with {run.code} and says {said['exit_code']}"
    if run.verb == "status":
        return
    done = run.changes()
    marks = [one for one in done if one.path.endswith("/tags") and [*one.body["tags"]] == [PROMOTING]]
    ours = {one.body["tags"][PROMOTING] for one in marks}
    if not any(key == PROMOTING and value in ours for seen in run.after.values() for key, value in seen.tags):
        done = [one for one in done if one not in marks]  # they were taken away again
    if done and not said["changed"]:
        yield f"5: `{run.verb}` says that it changed nothing: {[(one.method, one.path) for one in done]}"
    if (said["outcome"] == "unchanged") == said["changed"]:
        yield f"5: `{run.verb}`: changed {said['changed']}, outcome {said['outcome']}"
    if run.code and run.code < 100 and said["changed"] != (run.code >= 10):
        yield f"5: `{run.verb}`: changed {said['changed']}, exit {run.code}"


def promotions(made: World, run: Run) -> list[tuple[str, str]]:
    """Of the pairs whose integration it deleted, primary and replica."""
    gone = {
        one.path.rpartition("/")[2] for one in run.changes() if one.method == "DELETE" and "/integration/" in one.path
    }
    return [made.pairs[number] for number in gone if number in made.pairs]


def _planned(run: Run) -> bool:
    return run.verb == "switchover" or (run.verb == "evacuate" and not {"--forced", "--auto"} & set(run.words))


def _loses_nothing(made: World, run: Run, said: dict[str, Any]) -> Iterator[str]:
    """1: what ends well as a planned promotion lost no acknowledged write; what does not leaves all as it was, or says.

    So does one that found the promotion done, by whomever.
    """
    promoted = promotions(made, run)
    if _planned(run) and "a colleague lifts the pause" not in made.happened:
        for replica, missing in run.promoted_without.items():
            yield f"1: `{run.verb}` promoted {replica} before it had {len(missing)} acknowledged writes: {missing[:3]}"
    if run.verb == "switchover" and run.code == 0:
        primary, replica = run.words[1:3]
        promoted = [(primary, replica)]
        seen = run.after.get(replica)
        if (seen is None and not made.interfered) or (seen and seen.source is not None):
            yield f"1: `switchover` ended well, and {replica} is no primary"
            return
    if _planned(run) or (run.code == 0 and _was_well(made, run, promoted)):
        for primary, replica in promoted:
            if replica in run.after:  # else a colleague has terminated it since
                yield from _lost(made, run, primary, replica, said)
    if run.code and not promoted and run.verb == "switchover":
        name = run.words[1]
        before, after = run.before.get(name), run.after.get(name)
        ours = [one for one in run.changes() if one.method == "PUT"]
        changed = before and after and (before.filter, before.powered) != (after.filter, after.powered)
        if ours and changed and name not in run.out:
            yield f"1: `{run.verb}` failed and left {name} closed, and does not say so"


def _lost(made: World, run: Run, primary: str, replica: str, said: dict[str, Any]) -> Iterator[str]:
    """What was acknowledged, and is not on the new primary when the run ends."""
    missing = [
        key
        for at, service, key in made.acknowledged
        if service == primary and at <= run.ended and key not in run.held.get(replica, ())
    ]
    dropped = "the replica drops commands" in made.happened
    if _lifted_at_the_last_moment(made, run, primary, missing) or (dropped and not promotions(made, run)):
        return
    if missing and run.code == 0 and f"whether {primary} has writes of its own is unknown" not in str(said["warnings"]):
        yield f"1: `{run.verb}` lost {len(missing)} acknowledged writes of {primary}: {missing[:3]}"
    elif missing and replica not in run.out:
        yield f"1: `{run.verb}` ended with {run.code} after the promotion, and does not name {replica}"
    if not missing and f"are on {primary} only" in run.out and not run.held.get(primary, set()) - run.held[replica]:
        yield f"5: `{run.verb}` says that {primary} has writes of its own, and it has none"
    off = run.before[primary].powered and primary in run.after and not run.after[primary].powered
    if missing and off and any(one.path.endswith(f"/service/{primary}") for one in run.changes()):
        yield f"1: `{run.verb}` powered {primary} off, the only one with {missing[:3]}"


def _lifted_at_the_last_moment(made: World, run: Run, primary: str, missing: list[bytes]) -> bool:
    """Between the last look at a primary that is being closed and its end nobody can look: a limit that is documented."""
    closed = [one.at for one in run.changes() if one.method == "PUT" and one.path.endswith(f"/{primary}")]
    lifted = any(what == "a colleague lifts the pause" for _, _, what in made.story)
    late = [at for at, service, key in made.acknowledged if service == primary and key in missing]
    return bool(missing and closed and lifted) and min(late) > closed[0] - UNSEEN


def _was_well(made: World, run: Run, promoted: list[tuple[str, str]]) -> bool:
    """Whether nothing was wrong with a primary that `evacuate --auto` should have switched over."""
    return "--auto" in run.words and not {primary for primary, _ in promoted} & made.struck


def _one_takes_writes(made: World, run: Run, said: dict[str, Any]) -> Iterator[str]:
    """2: where by our doing two services of a pair take writes, the result names it as a risk."""
    text = json.dumps(said)
    for primary, replica in promotions(made, run):
        creator = made.created_by.get(id(run.before[replica].itself)) if replica in run.before else None
        if (
            run.verb != "drill"
            and creator is not None
            and creator.verb == "drill"
            and "--drill-service" not in run.words
        ):
            yield f"2: `{run.verb}` promoted {replica}, which is a drill's"
        before, after = run.before.get(primary), run.after.get(primary)
        another = before and after and before.itself is not after.itself
        if run.verb == "drill" or another or not (run.takes_writes.get(primary) and run.takes_writes.get(replica)):
            continue
        listed = f'"service": "{primary}"' in text.partition('"still_open": [')[2]
        told = "risk" in text or listed or f"{primary} is not closed" in text
        if primary not in made.opened and not told:
            yield f"2: `{run.verb}`, exit {run.code}: {primary} and {replica} take writes, and no risk is named: {text[:1500]}"


UNPAUSED = frozenset(
    {
        "a colleague lifts the pause",
        "a server restarts",
        "a node fails over",
        "the primary comes back empty",
        "a promotion that loses the data",
        "the primary dies",
        "the primary hangs",
        "the primary is cut off",
        "a colleague opens the filter",
        "pausing is denied",
        "the machine sleeps",
        "a colleague powers off",
        "a colleague makes a namesake",
        "a colleague deletes the integration",
    }
)
"""Accidents that end a write pause, or promote a replica, without our doing."""


def _writes_wait(made: World, run: Run) -> Iterator[str]:
    """2: from a planned promotion until the end of its run the old primary acknowledges nothing."""
    if not _planned(run) or UNPAUSED & made.happened:
        return
    for primary, replica in promotions(made, run):
        server = made.fleet.servers.get(replica)
        if server is None or server.promoted_at is None:
            continue
        late = [key for at, by, key in made.acknowledged if by == primary and server.promoted_at < at <= run.ended]
        if late:
            yield f"2: `{run.verb}`: {primary} acknowledged {len(late)} writes after {replica} was promoted: {late[:3]}"


def _one_successor(made: World) -> Iterator[str]:
    """2: of one primary one replica is promoted, in all runs together, unless what came before was undone by others, or
    turned out to lack the data: that must not take over.
    """
    found: dict[int, list[tuple[float, str, Run]]] = defaultdict(list)
    for run in made.runs:
        for one in run.changes() if run.verb != "drill" else ():
            primary, replica = made.pairs.get(one.path.rpartition("/")[2], ("", ""))
            if one.method == "DELETE" and primary in run.before and not made.interfered and LACKS not in run.out:
                found[id(run.before[primary].itself)].append((one.at, replica, run))
    for promoted in found.values():
        for first, later in combinations(sorted(promoted, key=itemgetter(0)), 2):
            if first[1] != later[1] and _could_know(made, first, later):
                yield f"2: one primary has several successors: {first[1]} and {later[1]}"


def _held(run: Run) -> bool:
    """Whether it paused the writes before it promoted."""
    return _planned(run) or "fence-held" in run.steps


def _could_know(made: World, first: tuple[float, str, Run], later: tuple[float, str, Run]) -> bool:
    """Whether the later promotion's last look shows the one before: it is recorded, or was listed as a replica before."""
    (sent, replica, by), (at, _, run) = first, later
    recorded = [one.at for one in by.changes() if one.path.endswith(f"/service/{replica}/tags")]
    looks = [one.at for one in made.web.log if one.run == run.run and one.at < at and one.path.endswith("/service")]
    lag = LAG if "reads that lag" in made.happened else 0.0
    last = max(looks, default=0.0) - lag
    if min(recorded, default=at) < last:
        return True
    return _held(by) if _held(run) else min(looks, default=at) < sent < last


def _closes_only_what_was_promoted(made: World, run: Run) -> Iterator[str]:
    """2: a primary that has writes of its own is closed only where a run of ours promoted a replica of it, or saw it done.

    A run that was killed may have been too late with its deletion; its journal says that it was sent.
    """
    sent = {one.path.rpartition("/")[2] for one in made.web.log if one.run and one.method == "DELETE"}
    promoted = {made.pairs[number][0] for number in sent if number in made.pairs}
    promoted |= {other.words[1] for other in made.runs if other.verb == "switchover" and TAKEN in other.out}
    promoted |= {value for seen in run.before.values() for key, value in seen.tags if key == FROM}
    for one in run.changes():
        name = one.path.rpartition("/")[2]
        if one.method != "PUT" or run.verb == "drill" or name in promoted:
            continue
        others = [held for other, held in run.held.items() if other != name]
        if any(not any(key in held for held in others) for _, by, key in made.acknowledged if by == name):
            yield f"2: `{run.verb}` closed {name}, which nobody recorded as left"


def _ends_by_itself(made: World) -> Iterator[str]:
    """5: no key of ours stays for ever."""
    for name, server in made.fleet.servers.items():
        for key, (_, expires) in server.keys(0).items():
            if key.startswith(b"ccr-avn:") and expires is None:
                yield f"5: {key.decode()} stays on {name}"


def _terminates_only_its_drill(made: World, run: Run) -> Iterator[str]:
    """3: nothing is terminated but a service that a drill created, not promoted by others and without clients of others."""
    for one in run.changes():
        if one.method != "DELETE" or "/service/" not in one.path:
            continue
        service, had_clients = made.terminated[one.at]
        creator = made.created_by.get(id(service))
        if creator is None or creator.verb != "drill":
            yield f"3: `{run.verb}` terminated {service.name}, which no drill created"
        elif made.promoted_by_others.get(service.name, one.at) < one.at - UNSEEN:
            yield f"3: `{run.verb}` terminated {service.name}, which somebody else promoted"
        elif had_clients:
            yield f"3: `{run.verb}` terminated {service.name}, which had clients: {had_clients}"


def scope(made: World, run: Run) -> set[str]:
    """The services that a command may change, by name, with those that belong to the pair that was named."""
    names = {word for word in run.words[1:] if word in run.before}
    if run.verb == "evacuate":
        clouds = set(run.words[1:])
        names = {
            seen.source or name
            for name, seen in run.before.items()
            if (run.before.get(seen.source or name) or seen).cloud in clouds
        }
        names |= {name for name, seen in run.before.items() if seen.source in names}
        names |= {replica for primary, replica in made.pairs.values() if primary in names}
    if run.verb == "failover":
        names |= {seen.source for name, seen in run.before.items() if name in names and seen.source}
    return names


def _only_its_own(made: World, run: Run) -> Iterator[str]:
    """4: no setting of a service is changed that is not part of the pair that was named, nor of a namesake."""
    allowed = scope(made, run)
    for one in run.changes():
        touched = made.touched[one.at]
        if touched is None:
            continue
        created = made.created_by.get(id(touched))
        if created is not None and (created is run or (run.verb == "drill" and created.verb == "drill")):
            continue
        if run.verb == "drill" and one.method != "DELETE" and touched.name in run.words and "/tags" not in one.path:
            yield f"4: `drill` changed its primary {touched.name}: {one.method} {one.path}"
        elif touched.name not in allowed:
            yield f"4: `{run.verb}` changed {touched.name}: {one.method} {one.path}"
        elif touched.name in run.before and run.before[touched.name].itself is not touched:
            yield f"4: `{run.verb}` changed a namesake of {touched.name}: {one.method} {one.path}"


def _names_what_is_left(made: World, run: Run) -> Iterator[str]:
    """5: a pause or a service that is left is named."""
    said = _envelope(run) or {}
    for name in run.paused:
        by = [who for service, who, at in made.fleet.pauses if service == name and at <= run.ended]
        mine = bool(by) and by[-1].endswith(str(said["run"]))
        told = json.dumps([said["error"], said["warnings"], said["result"]])
        if mine and run.verb in ("switchover", "evacuate") and "paused" not in told:
            yield f"5: `{run.verb}` left the writes on {name} paused, and does not say so: {told[:600]}"
    if run.verb == "drill" and "--clean" not in run.words:
        told = json.dumps(
            [said["error"], said["warnings"], said["next"], (said["result"] or {}).get("temporary_replica")]
        )
        for name, seen in run.after.items():
            if made.created_by.get(id(seen.itself)) is run and name not in told:
                yield f"5: `drill` left {name}, and does not say so: {json.dumps(said)[:1500]}"


def _no_secret(made: World, run: Run) -> Iterator[str]:
    """7: no password in any output, journal or argument."""
    texts = {"its output": run.out, "an argument": " ".join(word for _, _, words in made.avn.ran for word in words)}
    texts |= {f"the journal {path.name}": path.read_text() for path, _ in run.files if path.exists()}
    for where, text in texts.items():
        if "AVNS_" in text:
            yield f"7: `{run.verb}`: a password in {where}"


def _reaches_its_end(made: World, first: Run, script: Script) -> Iterator[str]:
    """6: when accidents stop, the same command reaches its end within three runs, and once more does nothing.

    An end is exit 0, or the same refusal twice with nothing changed in between.
    """
    calm(made)
    if script.first in ("drill", "verify"):
        return
    last: Any = None
    for _ in range(4):
        run = made.type("ann", *_words(script.first))
        if not made.finish(run, LONGEST) or run.code is None:
            yield f"7: `{run.verb}` never ended, although nothing went wrong; last step {run.steps[-1:]}"
            return
        yield from judged(made, run)
        said = _envelope(run) or {}
        now = (run.code, (said.get("error") or {}).get("what"))
        if run.code == 0:
            break
        changed = [one for one in run.changes() if not one.path.endswith("/tags")]  # a mark comes and goes
        if now[0] == (last or now)[0] and last and not changed:
            return
        last = now
    else:
        yield f"6: `{run.verb}` did not reach its end: exit {run.code}, {now[1]}"
        return
    again = made.type("ann", *_words(script.first))
    made.finish(again, LONGEST)
    yield from judged(made, again)
    if again.changes() and again.verb in ("switchover", "failover", "enable", "evacuate"):
        yield f"6: `{again.verb}` had ended well, and once more it changed: {[(one.method, one.path) for one in again.changes()]}"


# -- telling it


def timeline(made: World) -> Iterator[str]:
    """Who did what, and when."""
    rows = [(at, who, what) for at, who, what in made.story]
    rows += [
        (one.at, f"API ({one.who})", f"{one.method} {one.path} -> {one.status}")
        for one in made.web.log
        if one.method != "GET"
    ]
    rows += [(at, f"avn ({who})", " ".join(words)) for at, who, words in made.avn.ran]
    for at, who, what in sorted(rows, key=lambda row: row[0]):
        yield f"{at:9.2f} s  {who:<14} {what}"


def shrunk(script: Script, fails: Callable[[Script], bool]) -> Script:
    """With as little as still fails: events are left out, one after the other, as long as one can be."""
    smaller = True
    while smaller:
        smaller = False
        for number in range(len(script.events)):
            candidate = replace(script, events=script.events[:number] + script.events[number + 1 :])
            if fails(candidate):
                script, smaller = candidate, True
                break
    for simpler in (replace(script, writers=False), replace(script, shape="pair")):
        if simpler != script and fails(simpler):
            script = simpler
    return script
