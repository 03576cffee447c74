"""Steps that are commands as well: what makes a step says the options of `ccr-avn gate NAME`, and the words of a preview."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeVar

from ccr_avn.options import Opt, opt_of, option_name
from ccr_avn.plan.model import Later, Step, Word

F = TypeVar("F", bound=Callable[..., Step[Any]])


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCommand:
    """``make``: given the setting, the names and the options; its docstring is the help, with examples."""

    make: Callable[..., Step[Any]]
    timeout: float = 0  # the default, in seconds
    asks: tuple[str, ...] = ()  # which of its arguments name services whose servers are asked
    before: Callable[..., tuple[Step[Any], ...]] = lambda *_, **__: ()  # makes the steps that must have been taken
    fact: str | None = None  # the one that is printed, if none is asked for


GATES: dict[str, GateCommand] = {}


def gate(name: str, *, tight: bool = False, **how: Any) -> Callable[[F], F]:
    """What the function makes is ``ccr-avn gate NAME`` too. ``tight``: it looks at its own pace; ``how``: see above."""

    def register(make: F) -> F:
        signature = inspect.signature(make)
        opts = {name: opt for name, one in signature.parameters.items() if (opt := opt_of(one.annotation))}
        defaults = {name: one.default for name, one in signature.parameters.items()}

        @wraps(make)
        def made(at: Any, *given: Any, **more: Any) -> Step[Any]:
            bound = signature.bind(at, *given, **more)
            bound.apply_defaults()
            words, limit = typed_words(opts, bound.arguments, defaults), bound.arguments.get("limit")
            return replace(make(at, *given, **more), command=at.gate(name, *words, limit=limit, tight=tight))

        GATES[name] = GateCommand(make=made, **how)
        return made  # type: ignore[return-value]  # the same signature

    return register


def typed_parameters(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return {name: one for name, one in inspect.signature(make).parameters.items() if opt_of(one.annotation)}


def typed_words(opts: Mapping[str, Opt], given: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[Word, ...]:
    """Arguments as they are, and the options that differ from their defaults."""
    words: list[Word] = []
    for name, opt in opts.items():
        value = given[name]
        if not opt.argument and value == defaults[name]:
            continue
        typed = next(iter(opt.names), option_name(name))
        for one in value if isinstance(value, (list, tuple)) else (value,):
            text = f"{one:g}" if isinstance(one, float) else one if isinstance(one, Later) else str(one)
            if isinstance(one, bool):
                words.append(typed if one else option_name(f"no_{name}"))
            elif opt.argument:
                words.append(text)
            else:
                words += [f"{typed}={text}"] if str(text).startswith("-") else [typed, text]
    return tuple(words)
