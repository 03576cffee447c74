"""Interpreter: prints a plan as bash lines ready to paste, or as data."""

import shlex
from collections.abc import Iterator
from typing import Any

from ccr_avn.plan.model import Act, Call, Keep, Later, Plan, Probe, Step, Word

EXPLAINED = "# avn lines change something; ccr-avn gate lines only check, and stop this where a run would stop."


def preview(plan: Plan, avn: str = "avn") -> str:
    """The whole plan as one subshell: a line that fails ends it instead of running on."""
    lines = [f"# {plan.title}", *(f"# assumes that {one}" for one in plan.assumptions), EXPLAINED]
    lines += ["( set -euo pipefail", *_checks(plan, avn)]
    for number, step in enumerate(plan.steps, 1):
        lines += _step(step, number, avn)
    return "\n".join([*lines, ")"])


def changes(plan: Plan, avn: str = "avn") -> str:
    """The avn lines alone, to be read: a plan that measures can't be pasted."""
    lines = [f"# {plan.title}", "# <words in angle brackets> are known only after querying Aiven"]
    lines += [f"# first: {step.purpose}" for step in plan.checks]
    for number, step in enumerate(plan.steps, 1):
        lines.append(f"# {number}. {step.purpose}")
        if isinstance(step.change, Call):
            words = (
                f"<{one.variable}>" if isinstance(one, Later) else shlex.quote(one) for one in step.change.argv[1:]
            )
            lines.append(" ".join((shlex.quote(avn), *words)))
    return "\n".join(lines)


def describe(plan: Plan, avn: str = "avn") -> dict[str, Any]:
    """The same plan as data, for ``--dry-run --json``."""
    return {
        "title": plan.title,
        "assumptions": list(plan.assumptions),
        "check": _plain(plan.check, avn),
        "steps": [_described(step, avn) for step in plan.all_steps],
    }


def _described(step: Step[Any], avn: str) -> dict[str, Any]:
    gate = _alone(step)
    return {
        "slug": step.slug,
        "purpose": step.purpose,
        "read": _plain(step.read.argv, avn),
        "gate": _plain(gate, avn) if gate else None,
        "continues_when": step.gate.rule,
        "limit_seconds": step.poll.limit,
        "change": _plain(step.change.argv, avn) if step.change else None,
    }


def _checks(plan: Plan, avn: str) -> Iterator[str]:
    """Before the first change, by one command: all that a run checks there, by the same rules."""
    for step in plan.checks:
        yield f"# first: {step.purpose}{_by_hand(step, avn)}"
    if plan.check:
        yield _command(plan.check, avn)
    for step in plan.checks:
        yield from (_kept(keep, avn) for keep in step.keeps)


def _step(step: Step[Any], number: int, avn: str) -> Iterator[str]:
    yield f"# {number}. {step.purpose}{_by_hand(step, avn)}"
    if step.undone_by:  # whatever ends a pasted shell before the point of no return lifts what was put up
        yield f"trap {shlex.quote(_command(step.undone_by, avn))} EXIT"
    if step.final:
        yield "trap - EXIT # from here on nothing is undone"
    gate = [_kept(keep, avn) for keep in step.keeps] or [_command(_alone(step), avn)] * bool(_alone(step))
    lines = [*([_changing(step.change, avn)] if step.change else []), *gate]
    if step.asked:
        yield _kept(step.asked, avn)
        yield f'if [ "${step.asked.variable}" = missing ]; then'
        yield from (f"  {line}" for line in lines)
        yield "fi"
    elif step.optional:
        for line in lines:
            yield f"{line} ||"
            yield f"  echo {shlex.quote(f'{step.slug}: NOT done')} >&2"
    else:
        yield from lines


def _changing(change: Call[None] | Act[Any], avn: str) -> str:
    """What it prints is kept where a later line needs it."""
    variable = change.variable if isinstance(change, Act) else ""
    return _kept(Keep(variable=variable, argv=change.argv), avn) if variable else _command(change.argv, avn)


def _alone(step: Step[Any]) -> tuple[Word, ...]:
    """The command that runs just this step, without its change; empty: it is the change itself that proves it."""
    if step.alone or step.change:
        return step.alone
    return step.read.argv if isinstance(step.read, Probe) else ()


def _by_hand(step: Step[Any], avn: str) -> str:
    """For a machine that has only avn."""
    told = step.by_hand
    if not told and step.read.argv[:1] == ("avn",):
        told = " ".join(_plain(tuple(word for word in step.read.argv if word != "--json"), avn))
    return f" (by hand: {told})" if told else ""


def _kept(keep: Keep, avn: str) -> str:
    return f'{keep.variable}="$({_command(keep.argv, avn)})"'


def _command(argv: tuple[Word, ...], avn: str) -> str:
    return " ".join(_quoted(word, avn if index == 0 and word == "avn" else None) for index, word in enumerate(argv))


def _quoted(word: Word, instead: str | None) -> str:
    if isinstance(word, Later):
        return f'"${{{word.variable}:?}}"'
    return shlex.quote(instead or word)


def _plain(argv: tuple[Word, ...], avn: str) -> list[str]:
    words = [f"${{{word.variable}}}" if isinstance(word, Later) else word for word in argv]
    return [avn if word == "avn" and not index else word for index, word in enumerate(words)]
