"""Interpreter: a plan as lines that do the job when pasted into bash, or as data."""

import shlex
from collections.abc import Iterator
from typing import Any

from ccr_avn.plan import Act, Call, Later, Paste, Plan, Probe, Step, Word


def preview(plan: Plan, avn: str = "avn") -> str:
    """The whole plan as one subshell: a line that fails ends it instead of running on."""
    lines = [f"# {plan.title}", *(f"# assumes that {one}" for one in plan.assumptions), "( set -euo pipefail", ""]
    for number, step in enumerate(plan.all_steps, 1):
        lines += [*_step(step, number, avn), ""]
    return "\n".join([*lines, ")"])


def describe(plan: Plan, avn: str = "avn") -> dict[str, Any]:
    """The same plan as data, for ``--dry-run --json``."""
    return {
        "title": plan.title,
        "assumptions": list(plan.assumptions),
        "steps": [_described(step, avn) for step in plan.all_steps],
    }


def _described(step: Step[Any], avn: str) -> dict[str, Any]:
    return {
        "slug": step.slug,
        "purpose": step.purpose,
        "read": _plain(step.look.argv, avn),
        "continues_when": step.gate.rule,
        "limit_seconds": step.poll.limit,
        "change": _plain(step.change.argv, avn) if step.change else None,
    }


def _step(step: Step[Any], number: int, avn: str) -> Iterator[str]:
    limit = f"; {step.poll.limit:g} s at most" if step.poll.limit and not step.change else ""
    yield f"# {number}. {step.purpose}"
    if step.change:
        yield f"#    needed unless {step.gate.rule}"
    else:
        yield f"#    continues when {step.gate.rule}{limit}"
    if step.final:
        yield "trap - EXIT # from here on nothing is undone"
    yield from _undoing(step, avn)
    if isinstance(step.look, Probe) and step.pastes:
        yield _command(step.look.argv, avn)
    if not step.pastes:
        if step.change or isinstance(step.look, Probe):
            yield _kept(step.change, _command((step.change or step.look).argv, avn))
        return
    *first, last = step.pastes
    for paste in first:
        yield from _guarded(paste, _judged_once(paste, step, avn))
    if step.change:
        yield from _guarded(last, _change(last, step.change, avn))
    elif step.poll.limit:
        yield from _guarded(last, _loop(last, step, avn))
    else:
        yield from _guarded(last, _judged_once(last, step, avn))


def _kept(change: Call[None] | Act[Any] | None, command: str) -> str:
    """What it prints is kept where a later line needs it."""
    variable = change.variable if isinstance(change, Act) else ""
    return f'{variable}="$({command})"' if variable else command


def _undoing(step: Step[Any], avn: str) -> Iterator[str]:
    """Whatever ends a pasted shell before the point of no return lifts what was put up."""
    if step.undone_by:
        yield f"trap {shlex.quote(_command(step.undone_by, avn))} EXIT"


def _guarded(paste: Paste, lines: Iterator[str]) -> Iterator[str]:
    if not paste.only_if:
        yield from lines
        return
    yield f"if {paste.only_if}; then"
    yield from (f"  {line}" for line in lines)
    yield "fi"


def _judged_once(paste: Paste, step: Step[Any], avn: str) -> Iterator[str]:
    yield _read(paste, avn)
    if paste.go == "*":
        return
    yield f'case "${paste.variable}" in'
    yield from _ends(tuple(stop for stop in paste.stop if stop[0] != "*"))
    yield f"  {paste.go}) ;;"
    yield from _ends((("*", dict(paste.stop).get("*", f"{step.slug}: not as it must be: {step.gate.rule}")),))
    yield "esac"


def _change(paste: Paste, change: Call[None] | Act[Any], avn: str) -> Iterator[str]:
    yield _read(paste, avn)
    yield f'case "${paste.variable}" in'
    yield from _ends(paste.stop)
    yield f"  {paste.go}) ;; # done already"
    yield "  *)"
    yield f"    {_command(change.argv, avn)}"
    yield "    ;;"
    yield "esac"


def _loop(paste: Paste, step: Step[Any], avn: str) -> Iterator[str]:
    yield f"deadline=$((SECONDS + {step.poll.limit:.0f}))"
    yield "while :; do"
    yield f"  {_read(paste, avn)}"
    yield f'  case "${paste.variable}" in'
    yield from (f"  {line}" for line in _ends(paste.stop))
    yield f"    {paste.go}) break ;;"
    yield "  esac"
    late = shlex.quote(f"{step.slug}: not within {step.poll.limit:g} s; last seen:")
    yield f'  [ "$SECONDS" -lt "$deadline" ] || {{ echo {late} "${paste.variable}" >&2; exit 5; }}'
    yield f"  sleep {max(step.poll.interval, 1):g}"
    yield "done"


def _ends(stops: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for pattern, why in stops:
        yield f"  {pattern}) echo {shlex.quote(why)} >&2; exit 4 ;;"


def _read(paste: Paste, avn: str) -> str:
    asked = _command(paste.read, avn)
    if paste.otherwise:
        known = f"{asked} | {paste.filter}" if paste.filter else asked
        return f"{paste.variable}=$({known}) || {paste.variable}={shlex.quote(paste.otherwise)}"
    return f"{paste.variable}=$({asked} | {paste.filter})" if paste.filter else f"{paste.variable}=$({asked})"


def _command(argv: tuple[Word, ...], avn: str) -> str:
    return " ".join(_quoted(word, avn if index == 0 and word == "avn" else None) for index, word in enumerate(argv))


def _quoted(word: Word, instead: str | None) -> str:
    if isinstance(word, Later):
        return f'"${{{word.variable}:?}}"'
    return shlex.quote(instead or word)


def _plain(argv: tuple[Word, ...], avn: str) -> list[str]:
    words = [f"${{{word.variable}}}" if isinstance(word, Later) else word for word in argv]
    return [avn if words[0] == "avn" else words[0], *words[1:]]
