"""Output of an evacuation: the table before the question, and the result."""

import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ccr_avn.aiven.models import Service
from ccr_avn.cli.one_of_many import Given, Moved
from ccr_avn.errors import CHANGED, CcrError, Interrupted, Refused, near
from ccr_avn.evacuate.choose import LINK_UP, Action, Choice, Selection, Want
from ccr_avn.evacuate.stop import Stop
from ccr_avn.output import console
from ccr_avn.procedures.gates.parity import power_off
from ccr_avn.procedures.gates.settings import lets_nobody_in
from ccr_avn.units import format_bytes, format_duration

BAD = ("refused", "failed", "half-way")
"""In the order in which they are reported: what is most urgent stands nearest to the prompt."""

ORDER: tuple[Action, ...] = ("switchover", "failover", "done", "skip", "refuse")


class Failed(CcrError):
    """One or more pairs failed; its exit code is that of the first."""

    def __init__(self, failed: list[Moved], left: list[str]) -> None:
        first = failed[0]
        told = [f"{one.choice.name}{' (half-way)' if one.state == 'half-way' else ''}" for one in failed]
        more = f"; {len(left)} were not begun" if left else ""
        super().__init__(
            f"{len(failed)} of the pairs failed: {', '.join(told)}{more}",
            detail=f"{first.choice.name}: {first.summary}",
            hint=f"{first.goes_on_with}; the rest: the same command again",
        )
        self._code = first.ended.code or 1

    @property
    def exit_code(self) -> int:
        return self._code + (CHANGED if self.changed else 0)


@dataclass(slots=True, kw_only=True)
class Ends:
    """How every pair ended. ``services``: as they were listed first; ``full``: why no more threads could be started."""

    run: str
    given: Given
    selection: Selection
    services: Mapping[str, Service]
    moved: dict[str, Moved] = field(default_factory=dict)
    slowed: int = 0
    full: str = ""

    @property
    def changed(self) -> bool:
        return any(one.ended.changed for one in self.moved.values())

    def problem(self, stop: Stop) -> CcrError | None:
        """What keeps this from being done: an interruption, a failure, a refusal, in this order."""
        failed = [one for one in self.moved.values() if one.ended.state == "failed"]
        left = [one.name for one in self.selection.choices if one.moves and one.name not in self.moved]
        problem: CcrError | None = None
        if stop.level and (left or failed):
            again = "run the same command again: finished pairs are recognised and not touched"
            problem = Interrupted(stop.number, hint=again)
        elif failed:
            problem = Failed(failed, left)
        elif left:
            problem = Refused(
                f"{len(left)} were not begun: {', '.join(left)}",
                detail=self.full,
                hint="allow more threads (ulimit -u, pids.max), or a lower --parallel; then run the same command again",
            )
        elif self.selection.count("refuse") or any(one.ended.state == "refused" for one in self.moved.values()):
            problem = self.refusal()
        if problem:
            problem.changed, problem.result = self.changed, self.result()
        return problem

    def refusal(self) -> Refused:
        chosen = [one for one in self.selection.choices if one.action == "refuse"]
        refused = [one for one in self.moved.values() if one.ended.state == "refused"]
        told = {one.name: one.reason for one in chosen} | {one.choice.name: one.summary for one in refused}
        hints = [one.hint for one in chosen if one.hint] + [one.goes_on_with for one in refused]
        problem = Refused(
            f"{len(told)} can't be moved: {', '.join(told)}",
            detail="; ".join(f"{name}: {why}" for name, why in told.items()),
            hint=hints[0] if hints else "",
        )
        problem.resumable = False  # the same command refuses them again
        return problem

    def result(self) -> dict[str, Any]:
        choices = self.selection.choices
        results = [self.moved[one.name] for one in choices if one.name in self.moved]
        pairs = [
            {**told_of(moved.choice), **moved.told()}
            if (moved := self.moved.get(one.name))
            else {**told_of(one), **not_begun(one)}
            for one in choices
        ]
        switched = [one for one in results if one.choice.action == "switchover" and one.promoted]
        lost = [one.lost for one in results if one.lost is not None]
        seconds = [one.loss_seconds for one in results if one.loss_seconds is not None]
        return {
            "run": self.run,
            **counts(self.selection),
            "moved": sum(one.state == "done" for one in results),
            "promoted": sum(one.promoted for one in results),
            "half_way": sum(one.state == "half-way" for one in results),
            "failed": sum(one.state == "failed" for one in results),
            "not_begun": sum(one.moves and one.name not in self.moved for one in choices),
            "outage_ms": spread(sorted(one.outage_ms for one in results if one.outage_ms is not None)),
            "outage_not_measured": sum(one.outage_ms is None for one in switched),
            "bytes_not_replicated": {"sum": sum(lost), "worst": max(lost)} if lost else None,
            "estimated_loss_seconds": max(seconds, default=None),
            "slowed_down": self.slowed,
            "pairs": pairs,
            "replicas_in_cloud": list(self.selection.replicas_here),
            "still_open": self._still_open(),
            "enable": [one.enable for one in results if one.enable],
        }

    def _still_open(self) -> list[dict[str, str]]:
        """Old primaries that a failover left as they were, of this run or an earlier one, each with what closes it."""
        left = {one.choice.primary for one in self.moved.values() if one.choice.action == "failover" and one.promoted}
        names = [one.primary for one in self.selection.choices if one.action in ("done", "skip") or one.primary in left]
        project = self.given.setting.project
        return [
            {"service": old.name, "close": power_off(project, old.name, protected=old.protected)}
            for old in map(self.services.get, names)
            if old and old.state != "POWEROFF" and not lets_nobody_in(old)
        ]


def counts(selection: Selection) -> dict[str, Any]:
    return {
        "counts": {name: selection.count(name) for name in ("switchover", "failover", "done", "skip", "refuse")},
    }


def must_be_known(selection: Selection, want: Want, services: Collection[Service]) -> None:
    """Raises:
    Refused: a name that was typed is none, so what was meant by it would be missed, or moved.
    """
    here = f"no such primary or replica in {' '.join(want.clouds)}"
    names, tags = (
        [one.name for one in services],
        {f"{key}={value}" for one in services for key, value in one.tags.items()},
    )
    typed = [f"{key}={value}" for key, value in want.tags]
    for option, unknown, known, why in (
        ("--only", selection.unknown, names, here),
        ("--except", selection.unknown_excepted, names, "no such Valkey or Redis service"),
        ("--tag", [one for one in typed if one not in tags], tags, "no Valkey or Redis service has this tag"),
    ):
        if unknown:
            raise Refused(
                f"{' and '.join(unknown)}: {why}",
                detail=f"given with {option}",
                hint=f"list them{''.join(near(one, known) for one in unknown)}: the same command with --check and without {option}",
            )


def told_of(one: Choice) -> dict[str, Any]:
    return {
        "pair": one.name,
        "primary": one.primary,
        "replica": one.replica or None,
        "action": one.action,
        "reason": one.reason,
        "hint": one.hint or None,
        "lag_bytes": one.behind,
        "others": list(one.others),
    }


def not_begun(one: Choice) -> dict[str, Any]:
    return {"state": {"done": "done", "skip": "skipped", "refuse": "refused"}.get(one.action, "not begun")}


def table(selection: Selection, want: Want) -> list[str]:
    """Every service of these clouds with what will be done, and why where it is not moved: those last, by the question."""
    if not selection.choices:
        return [_nothing(selection, want)]
    ordered = sorted(selection.choices, key=lambda one: ORDER.index(one.action))
    rows = [("ACTION", "LAG", "PAIR"), *((one.action, format_bytes(one.behind), one.name) for one in ordered)]
    first, *lines = console.table(rows, indent="").splitlines()
    indent = " " * first.index("PAIR")
    told = [first]
    for one, line in zip(ordered, lines, strict=True):
        told.append(line)
        told += [f"{indent}{why}" for why in (one.reason, *one.others) if why != LINK_UP]
    if selection.replicas_here:
        told.append(f"not moved, as their primaries are elsewhere: {', '.join(selection.replicas_here)}")
    if selection.left_out:
        told.append(f"left out by --only, --except or --tag: {_primaries(selection.left_out, 'more ')}")
    return told


def _nothing(selection: Selection, want: Want) -> str:
    """Why there is nothing to do, so that a cloud or a tag that is misspelt shows."""
    if selection.left_out:
        return f"all that is there is left out by --only, --except or --tag: {_primaries(selection.left_out)}"
    none = f"no Valkey or Redis primary is in {' '.join(want.clouds)}"
    where = ", ".join(f"{cloud} ({count})" for cloud, count in sorted(selection.elsewhere.items()))
    return f"{none}; they are in {where}" if where else none


def _primaries(count: int, more: str = "") -> str:
    return f"{count} {more}{'primary' if count == 1 else 'primaries'}"


def sentence(selection: Selection) -> str:
    """The counts, in words."""
    words = {
        "switchover": "to switch over",
        "failover": "to fail over",
        "done": "done already",
        "skip": "skipped",
        "refuse": "can't be moved",
    }
    told = [f"{count} {words[name]}" for name, count in counts(selection)["counts"].items() if count]
    return ", ".join(told) or "nothing to do"


def consequences(selection: Selection, given: Given) -> list[str]:
    """What is said before the question."""
    forced = selection.count("failover")
    fate = "powered off" if given.old_primary == "power-off" else "closed"
    waves = f"{given.canary} first, to the end; then {given.parallel} at once; no more once {given.stop_after} failed"
    rows = [
        ("in all", sentence(selection)),
        ("promoted", "each replica, permanently; old primaries can't become replicas"),
    ]
    if selection.count("switchover"):
        rows += [
            ("switchover", f"no acknowledged write is lost; each old primary is {fate}"),
            ("write pause", f"for each pair {60 + given.promote_timeout:g} s at most, usually seconds"),
        ]
    if forced:
        rows += [("failover", f"{forced} old primaries are not closed; their last writes may be lost")]
    rows += [
        ("declared", "Terraform and the Kubernetes operator set ip_filter and tags:"),
        ("", "change both there before the next apply"),
        ("in waves", waves),
    ]
    return console.table(rows).splitlines()


def spread(outages: list[float]) -> dict[str, float] | None:
    """Median, 95th percentile and worst, in milliseconds, of outages in order."""
    if not outages:
        return None
    at = min(len(outages) - 1, round(0.95 * (len(outages) - 1)))
    return {"median": round(statistics.median(outages), 1), "p95": outages[at], "worst": outages[-1]}


def lines_of(result: dict[str, Any]) -> list[str]:
    """The end, for people."""
    refused = sum(one["state"] == "refused" for one in result["pairs"])
    seen = sum(one["state"] == "half-way" and one["promoted"] for one in result["pairs"])
    half_way = f"{result['half_way']} half-way ({seen} seen to be promoted), " if result["half_way"] else ""
    first = f"{result['moved']} moved, {half_way}{result['counts']['done']} already done, {result['failed']} failed"
    lines = [f"{first}, {refused} refused, {result['not_begun']} not begun"]
    spans = [f"{name} {format_duration(value / 1000)}" for name, value in (result["outage_ms"] or {}).items()]
    if result["outage_not_measured"]:
        spans.append(f"not measured of {result['outage_not_measured']}")
    if spans:
        lines.append(f"  write outage          {', '.join(spans)}")
    if lost := result["bytes_not_replicated"]:
        lines.append(f"  bytes not replicated  {lost['sum']} in all, {lost['worst']} at worst")
    if (seconds := result["estimated_loss_seconds"]) is not None:
        lines.append(f"  possible loss         the last {seconds:g} s of writes at worst, an estimate")
    bad = [one for one in result["pairs"] if one["state"] in BAD]
    for one in sorted(bad, key=lambda pair: BAD.index(pair["state"])):
        lines.append(f"{one['state']}: {one['pair']}: {one.get('summary') or one['reason']}")
        lines += [f"  {note}" for note in one.get("notes", ())]
        if on := one.get("goes_on_with"):
            lines.append(f"  resume with: {on}")
        elif one["hint"]:
            lines.append(f"  next: {one['hint']}")
    if result["still_open"]:
        lines.append("old primaries that are not closed: what is written to them exists only there. To close each:")
        lines += [f"  {one['close']}" for one in result["still_open"]]
    if result["enable"]:
        lines.append("the new primaries have no replica yet; set CLOUD=…, then:")
        lines += [f"  {one}" for one in result["enable"]]
    return lines
