"""Interpreter: prints a plan as bash lines ready to paste, or as data."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ccr_avn.plan.model import Act, Call, Keep, Later, Plan, Step, Word

AVN, OURS = "avn", "ccr-avn"


def preview(plan: Plan, programs: Mapping[str, str] = {}) -> str:
    """The whole plan as one subshell: a line that fails ends it instead of running on.

    ``programs``: what is typed for ``avn`` and ``ccr-avn`` where the name alone does not find it.
    """
    lines = [f"# {plan.title}", *(f"# assumes that {one}" for one in plan.assumptions), *_explained(plan)]
    lines += ["( set -euo pipefail", *(_there(programs.get(name, name)) for name in (OURS, AVN))]
    lines += _checks(plan, programs)
    undoing: tuple[str, ...] = ()
    for number, step in enumerate(plan.steps, 1):
        if step.undone_by:  # whatever ends a pasted shell before the point of no return takes back what was done
            undoing = (*undoing, _command(step.undone_by, programs))
        lines += _step(step, number, programs, undoing)
    return "\n".join([*lines, ")"])


def _explained(plan: Plan) -> Iterator[str]:
    acts = [step.change.argv for step in plan.steps if isinstance(step.change, Act) and not step.change.looks]
    acts += [step.undone_by for step in plan.steps if step.undone_by]
    keys = [step.command for step in plan.steps if step.writes_keys]
    pausing, writing = (
        dict.fromkeys(
            " ".join(map(str, argv[: 3 if argv[1] == "gate" else 2])) for argv in found if argv[:1] == (OURS,)
        )
        for found in (acts, keys)
    )
    yield f"# These lines change something: {', '.join((AVN, *pausing))}."
    if writing:
        yield f"# {' and '.join(writing)} writes test keys."
    yield "# All others only check; one that fails stops this script where a run would stop."


def _there(program: str) -> str:
    """Before anything is changed: a program that is missing half-way would leave writes paused."""
    missing = shlex.quote(f"{program} is not in PATH: nothing was changed")
    return f"command -v {shlex.quote(program)} > /dev/null || {{ echo {missing} >&2; exit 127; }}"


def changes(plan: Plan, programs: Mapping[str, str] = {}) -> str:
    """The avn lines alone, to be read: a plan that measures can't be pasted."""
    lines = [f"# {plan.title}", "# <words in angle brackets> are known only after querying Aiven"]
    lines += [f"# first: {step.purpose}" for step in plan.checks]
    for number, step in enumerate(plan.steps, 1):
        lines.append(f"# {number}. {step.purpose}")
        if isinstance(step.change, Call):
            words = (
                f"<{one.variable}>" if isinstance(one, Later) else shlex.quote(one) for one in step.change.argv[1:]
            )
            lines.append(" ".join((shlex.quote(programs.get(AVN, AVN)), *words)))
    return "\n".join(lines)


def describe(plan: Plan, programs: Mapping[str, str] = {}) -> dict[str, Any]:
    """The same plan as data, for ``--dry-run --json``."""
    return {
        "title": plan.title,
        "assumptions": list(plan.assumptions),
        "check": _plain(plan.check, programs),
        "steps": [_described(step, programs) for step in plan.all_steps],
    }


def _described(step: Step[Any], programs: Mapping[str, str]) -> dict[str, Any]:
    return {
        "slug": step.slug,
        "purpose": step.purpose,
        "read": _plain(step.look, programs),
        "gate": _plain(step.command, programs) or None,
        "continues_when": step.rule,
        "limit_seconds": step.poll.limit,
        "change": _plain(step.change.argv, programs) if step.change else None,
    }


def _checks(plan: Plan, programs: Mapping[str, str]) -> Iterator[str]:
    """Before the first change, by one command: all that a run checks there, by the same rules."""
    for step in plan.checks:
        yield f"# first: {step.purpose}{_by_hand(step, programs)}"
    if plan.check:
        yield _command(plan.check, programs)
    for step in plan.checks:
        yield from (_kept(keep, programs) for keep in step.keeps)


def _step(step: Step[Any], number: int, programs: Mapping[str, str], undoing: tuple[str, ...]) -> Iterator[str]:
    yield f"# {number}. {step.purpose}{_by_hand(step, programs)}"
    if step.undone_by:
        yield f"trap {shlex.quote(' || true; '.join(undoing))} EXIT"
    if step.final:
        yield "trap - EXIT # from here on nothing is undone"
    lines = [_kept(keep, programs) for keep in step.keeps]
    if step.command and not lines:
        lines = [_command(step.command, programs)]
    if step.change:  # what it prints is kept where a later line needs it
        variable = step.change.variable if isinstance(step.change, Act) else ""
        keep = Keep(variable=variable, argv=step.change.argv)
        lines.insert(0, _kept(keep, programs) if variable else _command(keep.argv, programs))
    if step.optional or (step.advisory and step.change):
        not_done = f"  echo {shlex.quote(f'{step.slug}: NOT done')} >&2"
        lines = [part for line in lines for part in (f"{line} ||", not_done)]
    if step.asked is None:
        yield from lines
        return
    if step.asked.argv:
        yield _kept(step.asked, programs)
    yield f'if [ "${step.asked.variable}" = missing ]; then'
    yield from (f"  {line}" for line in lines)
    yield "fi"


def _by_hand(step: Step[Any], programs: Mapping[str, str]) -> str:
    """For a machine that has only avn."""
    if isinstance(step.read, Call):
        words = (f"<{one.variable}>" if isinstance(one, Later) else one for one in step.read.argv if one != "--json")
        how = " ".join(_plain(tuple(words), programs))
    else:
        how = step.read.by_hand
    return f" (by hand: {how})" if how else ""


def _kept(keep: Keep, programs: Mapping[str, str]) -> str:
    return f'{keep.variable}="$({_command(keep.argv, programs)})"'


def _command(argv: tuple[Word, ...], programs: Mapping[str, str]) -> str:
    words = (programs.get(str(word), word) if not number else word for number, word in enumerate(argv))
    return " ".join(f'"${{{word.variable}:?}}"' if isinstance(word, Later) else shlex.quote(word) for word in words)


def _plain(argv: tuple[Word, ...], programs: Mapping[str, str]) -> list[str]:
    words = [f"${{{word.variable}}}" if isinstance(word, Later) else word for word in argv]
    return [programs.get(words[0], words[0]), *words[1:]] if words else []
