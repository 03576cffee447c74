"""Evacuations as plain values, without a run."""

from pathlib import Path
from typing import Any

from ccr_avn.aiven.program import Program, world_of
from ccr_avn.cli.options import How
from ccr_avn.cli.pair_run import Common, PairResult, PairRun
from ccr_avn.evacuate.avn_turns import AvnTurns, ServiceList
from ccr_avn.evacuate.choose import LINK_UP, Action, Choice, Want
from ccr_avn.evacuate.schedule import State
from ccr_avn.output.progress import PairPhases
from ccr_avn.process import Answer

WORLD = world_of(Program(path="avn", version="1"))
WANT = Want(cloud=("google-europe-west1",), write_env_dir=Path("env"))


def choice(number: int, action: Action = "switchover") -> Choice:
    return Choice(action=action, primary=f"p{number}", replica=f"r{number}", reason=LINK_UP)


def moved(one: Choice, state: State = "done", **more: Any) -> PairResult:
    """How a pair ended."""
    told: dict[str, Any] = {"changed": state == "done", "run": "run", "journal_head": "head", "summary": state, **more}
    return PairResult(choice=one, ended=state, **told)


def common(*names: str, **more: Any) -> Common:
    made = Common(**{"want": WANT, "world": WORLD, "how": How(), "pair_words": (), **more})
    made.began, made.turns = 0.0, AvnTurns(2)
    made.services = ServiceList(ask=lambda: Answer(argv=(), code=1, stdout="", stderr="", seconds=0.0))
    made.phases = PairPhases(names or ("p0/r0",))
    return made


def pair_run(one: Choice, **more: Any) -> PairRun:
    return PairRun(choice=one, common=common(one.name), run_id="run", **more)
