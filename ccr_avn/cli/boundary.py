"""The error boundary: every way to end becomes an exit code, with three lines or one envelope."""

import os
import sys
from typing import Any

import typer

from ccr_avn import console
from ccr_avn.errors import CcrError, UsageError

_CLICK_USAGE: Any = typer.BadParameter.__mro__[1]
_CLICK_ERROR: Any = _CLICK_USAGE.__mro__[1]


def run(arguments: list[str]) -> int:
    """Run the command line; give its exit code."""
    from ccr_avn.cli import app

    try:
        code = app(arguments, standalone_mode=False)
    except CcrError as problem:
        return _explain(problem, arguments)
    except _CLICK_ERROR as problem:
        if type(problem).__name__ == "NoArgsIsHelpError":
            console.say(problem.format_message())
            return 0
        return _explain(_usage(problem), arguments)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        # The reader of stdout has gone; nothing more can be said to it, not even by the interpreter's own flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as bug:
        if os.environ.get("CCR_AVN_DEBUG"):
            raise
        return _explain(_bug(bug), arguments)
    return code if isinstance(code, int) else 0


def _explain(problem: CcrError, arguments: list[str]) -> int:
    if "--json" in arguments:
        command = next((word for word in arguments if not word.startswith("-")), "")
        console.error_envelope(command, problem)
    console.error(problem)
    return problem.exit_code


def _usage(problem: Any) -> UsageError:
    context = getattr(problem, "ctx", None)
    path = context.command_path if context else "ccr-avn"
    return UsageError(
        problem.format_message().rstrip("."),
        detail=f"in: {path}",
        hint=f"{path} --help",
    )


def _bug(bug: Exception) -> CcrError:
    frame = bug.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f" at {frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else ""
    changed = CcrError(
        f"a bug in ccr-avn: {type(bug).__name__}",
        detail=f"{type(bug).__name__}{where}",
        hint="please report it, with the output of the same command under CCR_AVN_DEBUG=1 (it holds no secrets of ours)",
    )
    changed.changed = getattr(bug, "changed", False)
    return changed
