"""Options that several commands share, declared once: as the fields of a frozen dataclass, one parameter of a command."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def flattened(function: Callable[..., None], **defaults: Any) -> Callable[..., None]:
    """The command with each parameter that is a dataclass expanded, where it stands, to that dataclass's fields.

    ``defaults``: of fields that differ from command to command. What typer reads is the signature; docs/reference.md
    and the snapshots of `--help` show what it read.
    """
    hints = get_type_hints(function, include_extras=True)
    own = inspect.signature(function).parameters
    grouped = {name: hints[name] for name in own if is_dataclass(hints[name])}
    parameters: list[inspect.Parameter] = []
    for name, one in own.items():
        if name in grouped:
            parameters += _expanded(grouped[name], defaults)
        else:
            parameters.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name]))

    def command(**typed: Any) -> None:
        made = {
            name: group(**{one.name: typed.pop(one.name) for one in fields(group)}) for name, group in grouped.items()
        }
        function(**made, **typed)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def _expanded(group: Any, defaults: dict[str, Any]) -> list[inspect.Parameter]:
    types = get_type_hints(group, include_extras=True)
    own = {one.name: inspect.Parameter.empty if one.default is MISSING else one.default for one in fields(group)}
    return [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name, default), annotation=types[name]
        )
        for name, default in own.items()
    ]
