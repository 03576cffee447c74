"""Steps that are commands as well: what makes a step says the options of `ccr-avn gate NAME`, and the words of a preview."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeVar

from ccr_avn.options import Opt
from ccr_avn.plan.model import Later, Step, Word

F = TypeVar("F", bound=Callable[..., Step[Any]])


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCommand:
    """``make``: given the setting, the names and the options; its docstring is the help, with examples.

    ``timeout``: the default seconds that it waits; ``asks``: which of its arguments name services whose servers are
    asked; ``before``: makes the steps that must have been taken; ``fact``: the one that is printed, if none is asked for.
    """

    make: Callable[..., Step[Any]]
    timeout: float
    asks: tuple[str, ...]
    before: Callable[..., tuple[Step[Any], ...]]
    fact: str | None


GATES: dict[str, GateCommand] = {}


def gate(
    name: str,
    *,
    timeout: float = 0,
    asks: tuple[str, ...] = (),
    before: Callable[..., tuple[Step[Any], ...]] = lambda *_, **__: (),
    fact: str | None = None,
    tight: bool = False,
) -> Callable[[F], F]:
    """What the function makes is ``ccr-avn gate NAME`` too. ``tight``: it looks at its own pace."""

    def register(make: F) -> F:
        signature = inspect.signature(make)

        @wraps(make)
        def made(at: Any, *given: Any, **more: Any) -> Step[Any]:
            bound = signature.bind(at, *given, **more)
            bound.apply_defaults()
            step, limit = make(at, *given, **more), bound.arguments.get("limit")
            return replace(step, command=at.gate(name, *_words(signature, bound.arguments), limit=limit, tight=tight))

        GATES[name] = GateCommand(make=made, timeout=timeout, asks=asks, before=before, fact=fact)
        return made  # type: ignore[return-value]  # the same signature

    return register


def typed_parameters(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Those that are typed on a command line."""
    parameters = inspect.signature(make).parameters
    return {name: one for name, one in parameters.items() if _opt(one)}


def _words(signature: inspect.Signature, given: dict[str, Any]) -> tuple[Word, ...]:
    """Names as they are, and the options that differ from their defaults."""
    words: list[Word] = []
    for name, one in signature.parameters.items():
        opt, value = _opt(one), given[name]
        if opt is None or (not opt.argument and value == one.default):
            continue
        flag = () if opt.argument else (next(iter(opt.names), "--" + name.replace("_", "-")),)
        for each in value if isinstance(value, (list, tuple)) else (value,):
            words += flag if each is True else (*flag, each if isinstance(each, (str, Later)) else str(each))
    return tuple(words)


def _opt(parameter: inspect.Parameter) -> Opt | None:
    return next((one for one in getattr(parameter.annotation, "__metadata__", ()) if isinstance(one, Opt)), None)
