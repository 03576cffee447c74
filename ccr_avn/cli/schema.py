"""`ccr-avn schema`: the form of what the other commands print with --json."""

import json
from typing import Annotated

from ccr_avn import options
from ccr_avn.errors import UsageError, near
from ccr_avn.output import console
from ccr_avn.output.schemas import RESULTS, schema_of

Commands = Annotated[
    list[str] | None, options.argument("[COMMAND]", "A command, like: switchover, or: runs show. [default: any]")
]


def schema(command: Commands = None) -> None:
    """Print the JSON Schema of what COMMAND prints with --json. Keys may be added; none changes its type.

    Examples:
      ccr-avn schema switchover
      ccr-avn schema runs show
    """
    name = " ".join(command or ())
    known = "gate" if name.startswith("gate ") else name
    if known and known not in RESULTS:
        raise UsageError(
            f"{name} prints no JSON object{near(name, RESULTS)}",
            detail=f"these do: {', '.join(RESULTS)}",
            hint="ccr-avn schema --help",
        )
    console.say(json.dumps(schema_of(known), indent=2))
