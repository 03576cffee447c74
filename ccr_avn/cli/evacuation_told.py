"""Output of an evacuation: the table before the question, and the result."""

import statistics
from typing import Any

from ccr_avn.cli.one_of_many import Given, Moved
from ccr_avn.errors import CHANGED, CcrError, Refused
from ccr_avn.evacuate.choose import LINK_UP, Action, Choice, Selection, Want
from ccr_avn.output import console
from ccr_avn.units import format_bytes, format_duration

ORDER: tuple[Action, ...] = ("switchover", "failover", "done", "skip", "refuse")


class Failed(CcrError):
    """One or more pairs failed; its exit code is that of the first."""

    def __init__(self, failed: list[Moved], left: list[str]) -> None:
        first = failed[0]
        names = ", ".join(one.choice.name for one in failed)
        more = f"; {len(left)} were not begun" if left else ""
        super().__init__(
            f"{len(failed)} of the pairs failed: {names}{more}",
            detail=f"{first.choice.name}: {first.summary}",
            hint=f"{first.goes_on_with}; the rest: the same command again",
        )
        self._code = first.ended.code or 1

    @property
    def exit_code(self) -> int:
        return self._code + (CHANGED if self.changed else 0)


def counts(selection: Selection) -> dict[str, Any]:
    return {
        "counts": {name: selection.count(name) for name in ("switchover", "failover", "done", "skip", "refuse")},
    }


def must_be_known(selection: Selection, want: Want) -> None:
    """Raises:
    Refused: a name that was typed is none, so what was meant by it would be missed, or moved.
    """
    here = f"no such primary or replica in {' '.join(want.clouds)}"
    for option, names, why in (
        ("--only", selection.unknown, here),
        ("--except", selection.unknown_excepted, "no such Valkey or Redis service"),
    ):
        if names:
            raise Refused(
                f"{' and '.join(names)}: {why}",
                detail=f"given with {option}",
                hint=f"list them: the same command with --check and without {option}",
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
    rows += [("in waves", waves)]
    return console.table(rows).splitlines()


def spread(outages: list[float]) -> dict[str, float] | None:
    """Median, 95th percentile and worst, in milliseconds, of outages in order."""
    if not outages:
        return None
    at = min(len(outages) - 1, round(0.95 * (len(outages) - 1)))
    return {"median": round(statistics.median(outages), 1), "p95": outages[at], "worst": outages[-1]}


def lines_of(result: dict[str, Any]) -> list[str]:
    """The end, for people."""
    counted = result["counts"]
    refused = sum(one["state"] == "refused" for one in result["pairs"])
    first = f"{result['moved']} moved, {counted['done']} already done, {result['failed']} failed"
    lines = [f"{first}, {refused} refused, {result['not_begun']} not begun"]
    if spread_of := result["outage_ms"]:
        told = ", ".join(f"{name} {format_duration(value / 1000)}" for name, value in spread_of.items())
        lines.append(f"  write outage          {told}")
    if lost := result["bytes_not_replicated"]:
        lines.append(f"  bytes not replicated  {lost['sum']} in all, {lost['worst']} at worst")
    if (seconds := result["estimated_loss_seconds"]) is not None:
        lines.append(f"  possible loss         the last {seconds:g} s of writes at worst, an estimate")
    bad = [one for one in result["pairs"] if one["state"] in ("failed", "refused")]
    for one in sorted(bad, key=lambda pair: pair["state"]):
        lines.append(f"{one['state']}: {one['pair']}: {one.get('summary') or one['reason']}")
        if on := one.get("goes_on_with"):
            lines.append(f"  resume with: {on}")
        elif one["hint"]:
            lines.append(f"  next: {one['hint']}")
    if result["enable"]:
        lines.append("the new primaries have no replica yet; set CLOUD=…, then:")
        lines += [f"  {one}" for one in result["enable"]]
    return lines
