"""`--help` and docs/reference.md are what the commands say; every example can be typed."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

from ccr_avn import errors
from ccr_avn.cli import LINES

ROOT = Path(__file__).parents[2]


def load() -> Any:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


made = load()
HELPS: dict[str, str] = made.helps()
COMMANDS: dict[str, Any] = {name: command for name, command, _ in made.commands() if name}


def test_the_reference_is_as_the_commands_are() -> None:
    """./scripts/reference writes it anew."""
    assert made.REFERENCE.read_text(encoding="utf-8") == made.reference()


def test_an_option_has_the_same_variable_in_every_command_and_the_reference_lists_it() -> None:
    found: dict[str, set[str | None]] = {}
    for command in COMMANDS.values():
        for one in getattr(command, "params", []):
            found.setdefault(one.opts[0], set()).add(one.envvar)
    varies = {name: variables for name, variables in found.items() if variables != {None} and len(variables) > 1}
    assert not varies
    assert {next(iter(one)) for one in found.values()} - {None} <= {name for name, _ in made.VARIABLES}


@pytest.mark.skipif(
    tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 12),
    reason=f"pydantic {pydantic.VERSION} says it differently",
)
def test_the_schemas_are_as_the_models_are() -> None:
    """./scripts/reference writes them anew."""
    assert {path.name: path.read_text(encoding="utf-8") for path in made.SCHEMAS.iterdir()} == made.schemas()


def test_a_help_has_what_is_common_first_and_examples_last() -> None:
    titles = re.findall(r"^(\w+):", HELPS["switchover"], re.MULTILINE)
    assert titles == ["Usage", "Arguments", "Options", "Times", "Connection", "Examples"]


@pytest.mark.parametrize("name", HELPS)
def test_a_help_fits_a_terminal_of_80(name: str) -> None:
    assert not [line for line in HELPS[name].splitlines() if len(line) > 80]


def examples(name: str) -> list[str]:
    return str(COMMANDS[name].epilog).splitlines()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_and_a_line_that_is_not_cut(name: str) -> None:
    line = LINES.get(name) or COMMANDS[name].short_help
    assert len(line) <= 60
    group = name.partition(" ")[0] if " " in name else ""
    assert line in {shown.strip().partition("  ")[2].strip() for shown in HELPS[group].splitlines()}
    assert 2 <= len(examples(name)) <= 3


def typed(example: str) -> Iterator[list[str]]:
    """The words of each ccr-avn in it, without what the shell does around it."""
    for part in re.split(r"&&|\||>", example):
        inner = re.sub(r'^\w+="\$\((.*)\)"$', r"\1", part.strip())
        if inner.startswith("ccr-avn "):
            yield shlex.split(inner)[1:]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_is_understood(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "env").mkdir()
    for program in ("deploy.sh", "page-me.sh"):
        (tmp_path / program).touch(0o755)
    seen = [words for example in examples(name) for words in typed(example)]
    assert any(" ".join(words).startswith(name) for words in seen)
    for words in seen:
        path = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        COMMANDS[path].make_context(path, words[len(path.split()) :])


def test_every_exit_code_is_explained() -> None:
    explained = {code for row in made.CODES for code in row[0].split(", ")}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.CcrError)]
    assert {str(kind.code) for kind in kinds} <= explained


OWN_RULE = {"--max-minutes", "--warn-lag", "--crit-lag"}
"""What its command checks by itself."""


def kind_of(param: Any) -> str:
    """Of what it takes: releases of typer before 0.29 keep it as click does."""
    if hasattr(param, "type"):
        return str(param.type.name)
    return getattr(param.type_descriptor.annotation, "__name__", "").lower()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_number_name_and_path_has_a_rule(name: str) -> None:
    """A bad one ends the command before anything is asked."""
    for one in getattr(COMMANDS[name], "params", []):
        kind = kind_of(one)
        number = kind in ("float", "int", "integer")
        service = one.metavar in ("PRIMARY", "REPLICA", "SERVICE", "NAME", "[PRIMARY]", "[SERVICE]...")
        path = kind == "path"
        own = OWN_RULE & {one.opts[0], f"{name} {one.opts[0]}"}
        assert one.callback or own or not (number or service or path), one.opts
