"""What an evacuation says: the table and the question before it, and how every pair ended."""

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ccr_avn.aiven.models import Service
from ccr_avn.cli.pair_run import PairResult, verb_of
from ccr_avn.errors import CcrError, Interrupted, Refused, near
from ccr_avn.evacuate.choose import LINK_UP, Action, Choice, Selection, Want, tags_of
from ccr_avn.evacuate.schedule import Stop
from ccr_avn.history.report import spread
from ccr_avn.output import tables
from ccr_avn.output.tables import Column
from ccr_avn.procedures.gates.parity import power_off_commands
from ccr_avn.procedures.gates.settings import lets_nobody_in
from ccr_avn.procedures.switchover import Switchover
from ccr_avn.procedures.verb import DECLARED, Question
from ccr_avn.units import format_bytes, format_duration

BAD = ("refused", "failed", "half-way")
"""In the order in which they are reported: what is most urgent stands nearest to the prompt."""

ACTIONS: dict[Action, str] = {
    "switchover": "to switch over",
    "failover": "to fail over",
    "done": "already done",
    "skip": "skipped",
    "refuse": "can't be moved",
}
"""In the order of the table, each as it is counted."""

STATES = {"moved": "done", "half_way": "half-way", "failed": "failed"}
"""Those that are counted, as the result calls them."""

COLUMNS = (Column(head="ACTION"), Column(head="LAG"), Column(head="PAIR", kind="name"))

NOT_MOVED: dict[Action, str] = {"done": "done", "skip": "skipped", "refuse": "refused"}
"""The state of a pair that had not to be moved."""


class PairsFailed(CcrError):
    """One or more pairs failed; its exit code is that of the first."""

    def __init__(self, failed: list[PairResult], left: list[str]) -> None:
        first = failed[0]
        names = [f"{one.choice.name}{' (half-way)' if one.state == 'half-way' else ''}" for one in failed]
        more = f"; {len(left)} were not begun" if left else ""
        super().__init__(
            f"{len(failed)} of the pairs failed: {', '.join(names)}{more}",
            detail=f"{first.choice.name}: {first.summary}",
            hint=f"{first.resume}; the rest: the same command again",
        )
        self.code = first.code or 1


@dataclass(slots=True, kw_only=True)
class EvacuationResult:
    """How every pair ended. ``services``: as they were listed first; ``full``: why no more threads could be started."""

    want: Want
    selection: Selection
    services: Mapping[str, Service]
    pairs: dict[str, PairResult] = field(default_factory=dict)
    slowed: int = 0
    full: str = ""

    @property
    def changed(self) -> bool:
        return any(one.changed for one in self.pairs.values())

    @property
    def not_begun(self) -> list[str]:
        return [one.name for one in self.selection.choices if one.moves and one.name not in self.pairs]

    def problem(self, stop: Stop) -> CcrError | None:
        """What keeps this from being done: an interruption, a failure, a refusal, in this order."""
        failed = [one for one in self.pairs.values() if one.ended == "failed"]
        left = self.not_begun
        if stop.level and (left or failed):
            again = "run the same command again: finished pairs are recognised and not touched"
            return Interrupted(stop.number, hint=again)
        if failed:
            return PairsFailed(failed, left)
        if left:
            return Refused(
                f"{len(left)} were not begun: {', '.join(left)}",
                detail=self.full,
                hint="allow more threads (ulimit -u, pids.max), or a lower --parallel; then run the same command again",
            )
        refused = self.selection.count("refuse") or any(one.ended == "refused" for one in self.pairs.values())
        return self.refusal() if refused else None

    def refusal(self) -> Refused:
        chosen = [one for one in self.selection.choices if one.action == "refuse"]
        refused = [one for one in self.pairs.values() if one.ended == "refused"]
        why = {one.name: one.reason for one in chosen} | {one.choice.name: one.summary for one in refused}
        hints = [one.hint for one in chosen if one.hint] + [one.resume for one in refused]
        problem = Refused(
            f"{len(why)} can't be moved: {', '.join(why)}",
            detail="; ".join(f"{name}: {reason}" for name, reason in why.items()),
            hint=hints[0] if hints else "",
        )
        problem.resumable = False  # the same command refuses them again
        return problem

    def chosen(self) -> dict[str, Any]:
        """What will be done, as data."""
        choices = self.selection.choices
        counts = {action: self.selection.count(action) for action in ACTIONS}
        return {"counts": counts, "pairs": [one.as_dict() for one in choices]}

    def as_dict(self) -> dict[str, Any]:
        rows = [self._pair_as_dict(one) for one in self.selection.choices]
        ended = list(self.pairs.values())

        def known(key: str) -> list[Any]:
            return sorted(one[key] for one in rows if one.get(key) is not None)

        lost, switched = known("bytes_not_replicated"), [one for one in ended if one.choice.action == "switchover"]
        return {
            "run": self.want.at.run,
            **self.chosen(),
            **{f"pairs_{name}": sum(one.state == state for one in ended) for name, state in STATES.items()},
            "pairs_promoted": sum(one.promoted for one in ended),
            "pairs_not_begun": len(self.not_begun),
            "outages_ms": spread(known("outage_ms")),
            "outages_not_measured": sum(one.promoted and one.outage_ms is None for one in switched),
            "bytes_not_replicated": sum(lost) if lost else None,
            "bytes_not_replicated_at_worst": max(lost, default=None),
            "estimated_loss_seconds": max(known("estimated_loss_seconds"), default=None),
            "slowed_down": self.slowed,
            "pairs": rows,
            "replicas_in_cloud": list(self.selection.replicas_here),
            "still_open": self._still_open(),
            "enable": [self._enable(one["replica"]) for one in rows if one.get("promoted")],
        }

    def _pair_as_dict(self, choice: Choice) -> dict[str, Any]:
        if result := self.pairs.get(choice.name):
            return {**result.choice.as_dict(), **result.as_dict()}
        return {**choice.as_dict(), "state": NOT_MOVED.get(choice.action, "not begun")}

    def _still_open(self) -> list[dict[str, str]]:
        """Old primaries that a failover left as they were, of this run or an earlier one, each with what closes it."""
        left = {one.choice.primary for one in self.pairs.values() if one.choice.action == "failover" and one.promoted}
        names = [one.primary for one in self.selection.choices if one.action in ("done", "skip") or one.primary in left]
        return [
            {"service": old.name, "close": power_off_commands(self.want.at.project, old.name, protected=old.protected)}
            for old in map(self.services.get, names)
            if old and old.state != "POWEROFF" and not lets_nobody_in(old)
        ]

    def _enable(self, name: str) -> str:
        """What gives the new primary a replica again; in which cloud is for the operator to say."""
        words = ("ccr-avn", "enable", name, f"{name[:60]}-2", *self.want.at.project.flag)
        return f'{shlex.join(words)} --replica-cloud "${{CLOUD:?}}"'


def must_be_known(selection: Selection, want: Want, services: Collection[Service]) -> None:
    """Raises:
    Refused: a name that was typed is none, so what was meant by it would be missed, or moved.
    """
    here = f"no such primary or replica in {' '.join(want.clouds)}"
    names = [one.name for one in services]
    tags = {tag for one in services for tag in tags_of(one)}
    for option, unknown, known, why in (
        ("--only", selection.unknown, names, here),
        ("--except", selection.unknown_excepted, names, "no such Valkey or Redis service"),
        ("--tag", [one for one in want.tag if one not in tags], tags, "no Valkey or Redis service has this tag"),
    ):
        if unknown:
            close = "".join(near(one, known) for one in unknown)
            hint = f"list them{close}: the same command with --check and without {option}"
            raise Refused(f"{' and '.join(unknown)}: {why}", detail=f"given with {option}", hint=hint)


def table(selection: Selection, want: Want) -> list[str]:
    """Every service of these clouds with what will be done, and why where it is not moved: those last, by the question."""
    if not selection.choices:
        return [_nothing(selection, want)]
    ordered = sorted(selection.choices, key=lambda one: list(ACTIONS).index(one.action))
    rows = [(one.action, format_bytes(one.lag_bytes), one.name) for one in ordered]
    first, *rest = tables.text(rows, COLUMNS, "stderr", indent=0).splitlines()
    indent = first.index("PAIR")
    lines = [first]
    for choice, line in zip(ordered, rest, strict=True):
        why = [(one,) for one in (choice.reason, *choice.others) if one != LINK_UP]
        lines += [line, *tables.text(why, to="stderr", indent=indent).splitlines()]
    if selection.replicas_here:
        lines.append(f"not moved, because their primaries are elsewhere: {', '.join(selection.replicas_here)}")
    if selection.left_out:
        lines.append(f"left out by --only, --except or --tag: {_primaries(selection.left_out, 'more ')}")
    return lines


def _nothing(selection: Selection, want: Want) -> str:
    """Why there is nothing to do, so that a cloud or a tag that is misspelt shows."""
    if selection.left_out:
        return f"everything there is left out by --only, --except or --tag: {_primaries(selection.left_out)}"
    none = f"no Valkey or Redis primary is in {' '.join(want.clouds)}"
    where = ", ".join(f"{cloud} ({count})" for cloud, count in sorted(selection.elsewhere.items()))
    return f"{none}; they are in {where}" if where else none


def _primaries(count: int, more: str = "") -> str:
    return f"{count} {more}{'primary' if count == 1 else 'primaries'}"


def sentence(selection: Selection) -> str:
    """The counts, in words."""
    counted = ((selection.count(action), words) for action, words in ACTIONS.items())
    return ", ".join(f"{count} {words}" for count, words in counted if count) or "nothing to do"


def question(selection: Selection, want: Want) -> Question:
    """What is said and asked before anything is changed."""
    switched = [one for one in selection.choices if one.action == "switchover"]
    forced = selection.count("failover")
    says = {
        "in all": sentence(selection),
        "promoted": "each replica, permanently; old primaries can't become replicas",
    }
    if switched:
        closed = "powered off" if want.old_primary == "power-off" else "closed"
        says["switchover"] = f"no acknowledged write is lost; each old primary is {closed}"
        verb = verb_of(switched[0], want)
        most = verb.promote_timeout + (verb.catch_up_timeout if isinstance(verb, Switchover) else 0)
        says["write pause"] = f"for each pair {most:g} s at most, usually seconds"
    if forced:
        says["failover"] = f"{forced} old primaries are not closed; their last writes may be lost"
    says["declared"] = DECLARED
    canary, parallel, failures = want.canary, want.parallel, want.stop_after
    says["in waves"] = f"{canary} first, until done; then {parallel} at once; no more once {failures} failed"
    clouds = " ".join(want.clouds)
    text = f"Type {clouds} to promote {len(switched) + forced} replicas; anything else changes nothing: "
    return Question(answer=clouds, text=text, consequences=says)


def lines_of(result: dict[str, Any]) -> list[str]:
    """How it ended, for people."""
    refused = sum(one["state"] == "refused" for one in result["pairs"])
    seen = sum(one["state"] == "half-way" and one["promoted"] for one in result["pairs"])
    half_way = f"{result['pairs_half_way']} half-way ({seen} seen to be promoted), " if result["pairs_half_way"] else ""
    first = f"{result['pairs_moved']} moved, {half_way}{result['counts']['done']} already done, {result['pairs_failed']} failed"
    lines = [f"{first}, {refused} refused, {result['pairs_not_begun']} not begun"]
    spans = [f"{name} {format_duration(value / 1000)}" for name, value in (result["outages_ms"] or {}).items()]
    if result["outages_not_measured"]:
        spans.append(f"not measured of {result['outages_not_measured']}")
    if spans:
        lines.append(f"  write outage          {', '.join(spans)}")
    if (lost := result["bytes_not_replicated"]) is not None:
        lines.append(f"  bytes not replicated  {lost} in all, {result['bytes_not_replicated_at_worst']} at worst")
    if (seconds := result["estimated_loss_seconds"]) is not None:
        lines.append(f"  possible loss         the last {seconds:g} s of writes at worst, an estimate")
    bad = [one for one in result["pairs"] if one["state"] in BAD]
    for one in sorted(bad, key=lambda pair: BAD.index(pair["state"])):
        lines.append(f"{one['state']}: {one['pair']}: {one.get('summary') or one['reason']}")
        lines += [f"  {note}" for note in one.get("notes", ())]
        if on := one.get("next"):
            lines.append(f"  resume with: {shlex.join(on[0])}")
        elif one["hint"]:
            lines.append(f"  next: {one['hint']}")
    if result["still_open"]:
        lines.append("old primaries that are not closed: what is written to them exists only there. To close each:")
        lines += [f"  {one['close']}" for one in result["still_open"]]
    if result["enable"]:
        lines.append("the new primaries have no replica yet; set CLOUD=…, then:")
        lines += [f"  {one}" for one in result["enable"]]
    return lines
