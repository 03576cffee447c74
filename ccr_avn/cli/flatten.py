"""Options that several commands share, declared once: as the fields of a frozen dataclass, one parameter of a command."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_type_hints


def flattened(function: Callable[..., None], **defaults: Any) -> Callable[..., None]:
    """The command with each parameter that is a dataclass expanded to its fields, behind the parameters of its own.

    ``defaults``: of fields that differ from command to command. What typer reads is the signature; docs/reference.md
    and the snapshots of `--help` show what it read.
    """
    hints = get_type_hints(function, include_extras=True)
    own = inspect.signature(function).parameters
    grouped = {name: hints[name] for name in own if is_dataclass(hints[name])}
    parameters = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
        for name, one in own.items()
        if name not in grouped
    ]
    for group in grouped.values():
        types = get_type_hints(group, include_extras=True)
        parameters += [
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(one.name, _default(one)),
                annotation=types[one.name],
            )
            for one in fields(group)
        ]

    def command(**typed: Any) -> None:
        made = {
            name: group(**{one.name: typed.pop(one.name) for one in fields(group)}) for name, group in grouped.items()
        }
        function(**made, **typed)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def _default(field: "Field[Any]") -> Any:
    return inspect.Parameter.empty if field.default is MISSING else field.default
