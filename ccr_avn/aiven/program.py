"""Finds the installed avn and checks that it is new enough."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ccr_avn import process
from ccr_avn.aiven import avn, failure
from ccr_avn.background import side_by_side
from ccr_avn.errors import TooOld, UsageError
from ccr_avn.plan.model import Call
from ccr_avn.plan.reads import World

OLDEST = (2, 14, 8)
"""The first avn with `service backup-list`."""

LOCAL = 30.0
"""Seconds that an avn may take for what needs no network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The avn that is used: where it is, which it is, and what its `service create` offers."""

    path: str
    version: str
    create_help: str = ""

    @property
    def replica_flag(self) -> Literal["service-integration", "read-replica-for"]:
        """The one of its `service create` that makes a replica."""
        return "service-integration" if "--service-integration" in self.create_help else "read-replica-for"


def identify(given: str | None, *, with_help: bool = False) -> Program:
    """Ask the installed avn what it is. Local: no call to Aiven, no token.

    Raises: UsageError: there is none, or it is no avn; TooOld: it is older than the oldest supported.
    """
    path = process.find_avn(given)
    calls = (avn.VERSION, *((avn.CREATE_HELP,) if with_help else ()))

    def local(call: Call[str]) -> str:
        answer = process.run((path, *map(str, call.argv[1:])), deadline=LOCAL)
        if not answer.started:
            raise UsageError(f"{path} can't be run", detail=answer.last_line, hint=failure.read(answer).hint)
        return answer.stdout if answer.code == 0 else ""

    version, *more = side_by_side(local, calls)
    number = _printed(version)
    if not number:
        raise UsageError(
            f"{path} is not avn",
            detail="`--version` did not print aiven-client and a number",
            hint="give --avn the path of the Aiven CLI, or omit it",
        )
    _refuse_too_old(path, number)
    return Program(path=path, version=number, create_help=more[0] if more else "")


def default_project() -> str:
    """What avn falls back to where no project is named, by its own configuration; empty where that can't be read."""
    folder = os.environ.get("AIVEN_CONFIG_DIR") or os.path.join(os.path.expanduser("~"), ".config", "aiven")  # noqa: PTH111, PTH118
    file = os.environ.get("AIVEN_CLIENT_CONFIG") or os.path.join(folder, "aiven-client.json")  # noqa: PTH118
    with suppress(OSError, ValueError, AttributeError):
        return str(json.loads(Path(file).read_bytes()).get("default_project") or "")
    return ""


def known(path: str) -> Program:
    """The same for an avn that was found, without starting it: by what is installed beside it.

    One that does not know what it is asked is looked at again: see :func:`too_old`.

    Raises: TooOld: it is older than the oldest supported.
    """
    at, where = Path(path).resolve().parents[1], "lib/python3*/site-packages/aiven_client-*.dist-info"
    installed = at.parent.glob(Path(where).name) if process.is_module(path) else at.glob(where)
    found = [one.name.removeprefix("aiven_client-").removesuffix(".dist-info") for one in installed]
    number = found[0] if len(found) == 1 else ""
    _refuse_too_old(path, number)
    return Program(path=path, version=number or "not asked")


def world_of(program: Program, **settings: Any) -> World:
    """What a run touches, with this avn; ``settings``: as in `World`."""
    path = program.path
    return World(
        avn=path, version=program.version, explain=failure.read, too_old=lambda run: too_old(path, run), **settings
    )


def too_old(path: str, run: Callable[..., process.Answer]) -> TooOld | None:
    """What to say of an avn that did not know a command, if its age explains it."""
    try:
        _refuse_too_old(path, _printed(run((path, *avn.VERSION.argv[1:]), deadline=LOCAL).stdout))
    except TooOld as old:
        return old
    return None


def _printed(version: str) -> str:
    """The number in what `--version` prints; empty for what is no avn."""
    name, _, number = version.strip().partition(" ")
    return number if name == "aiven-client" else ""


def _refuse_too_old(path: str, number: str) -> None:
    """``number``: empty where it is not known."""
    if number and tuple(int(part) for part in number.split(".")[:3] if part.isdigit()) < OLDEST:
        raise TooOld(
            f"avn {number} is too old",
            detail=f"{path}; the oldest supported is {'.'.join(map(str, OLDEST))}, for `service backup-list`",
            hint="pip install --upgrade aiven-client",
        )
