"""Writes what is made from the commands: docs/reference.md and docs/schema."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from ccr_avn.cli import COMMANDS, app, load
from ccr_avn.output.schemas import RESULTS, schema_of

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference.md"
SCHEMAS = ROOT / "docs" / "schema"
COLUMNS = 78
"""What is printed in a terminal of 80: typer leaves two free."""

CODES = (
    ("0", "done, or nothing to do"),
    ("1", "internal error; or standard output could not be written"),
    ("2", "invalid usage, or the question was not confirmed"),
    ("3", "avn failed"),
    ("4", "a precondition failed: proceeding would be wrong, or could lose data"),
    ("5", "timed out waiting"),
    ("6", "verification found a difference, or could not prove that there is none"),
    ("130, 143", "interrupted by Ctrl-C or SIGTERM (128 + the signal's number)"),
    ("141", "the reader of standard output exited (`status`, `runs`, `--help`: commands that only print)"),
    (
        "**+10**",
        "the same, but Aiven was changed, or may have been (11, 13, 14, 15, 16, 140, 153): re-run the same command to resume",
    ),
)

VARIABLES = (
    ("AIVEN_PROJECT", "the project, as `--project`"),
    ("CCR_AVN_BIN", "the avn to use, as `--avn`"),
    ("CCR_AVN_CALL_TIMEOUT", "the time limit for one avn command in seconds, as `--call-timeout`"),
    ("CCR_AVN_CA_FILE", "a CA to trust too, as `--ca-file`"),
    ("CCR_AVN_REPLICA_CLOUD", "the cloud of new replicas, as `--replica-cloud` of `enable` and `drill`"),
    ("CCR_AVN_ROUTE", "the network route to services, as `--route`"),
    ("CCR_AVN_NO_PRELOAD", "if set, a new avn is started for each command, as with `--no-preload`"),
    ("CCR_AVN_STATE_DIR", "where the journals of runs are kept; default: the operating system's state directory"),
    ("CCR_AVN_DEBUG", "if set, an internal error shows its traceback"),
    ("AIVEN_AUTH_TOKEN", "read by avn: the token, instead of the one that `avn user login` has stored"),
    (
        "AIVEN_CREDENTIALS_FILE",
        "read by avn: the file in which `avn user login` stores the token, for a user without a home directory",
    ),
    ("AIVEN_CLIENT_CONFIG", "read by avn: the file with its default project"),
)

INTRODUCTION = """# Reference

All commands, options and exit codes. This page is generated from the commands by `scripts/reference.py`.
"""

ENDING = """
## Exit codes

{codes}

Without +10 nothing on Aiven was changed. `status --format nagios` and `status --exit-code` exit 0, 1, 2 or 3
(ok, warning, critical, unknown) instead.

An error is up to three lines: `error:` what happened, `detail:` what was seen, `hint:` what to type next.
A run that stops after the promotion also says which service is the primary, until when writes on the old primary are paused, and how to
close it.

## JSON

`--json` prints one object on stdout, for errors too; progress stays on stderr. [guide.md](guide.md#scripts) has its
keys, [schema](schema) the JSON Schema of each command, as `ccr-avn schema` prints it. `watch` prints one object a line.

## Environment variables

{variables}

An option on the command line overrides its variable. An empty variable counts as not set.
"""


def commands() -> Iterator[tuple[str, Any, Any]]:
    """Each command by its name (the program's is empty), with the context of its help."""
    program: Any = typer.main.get_command(app)
    top = _context(program, "ccr-avn", None)
    yield "", program, top
    for name in program.list_commands(top):
        command = load(name)
        context = _context(command, name, top)
        yield name, command, context
        for second, inner in _members(command, context):
            yield f"{name} {second}", inner, _context(inner, second, context)


def helps() -> dict[str, str]:
    """What `--help` prints at 80 columns, by the command's name."""
    return {name: command.get_help(context) for name, command, context in commands()}


def reference() -> str:
    by_name = {name: (command, context) for name, command, context in commands()}
    parts = [INTRODUCTION, "## Commands"]
    for title, group in COMMANDS.items():
        parts.append(f"\n### {title}")
        for name in group:
            inner = [one for one in by_name if one == name or one.startswith(f"{name} ")]
            parts += [_told(one, *by_name[one]) for one in inner]
    codes, variables = _table(("code", "meaning"), CODES), _table(("variable", "what it is for"), VARIABLES)
    parts.append(ENDING.format(codes=codes, variables=variables))
    return "\n".join(parts).rstrip() + "\n"


def schemas() -> dict[str, str]:
    """By the file's name."""
    made = {f"{name.replace(' ', '-') or 'envelope'}.json": schema_of(name) for name in ("", *RESULTS)}
    return {name: f"{json.dumps(schema, indent=2)}\n" for name, schema in made.items()}


def _told(name: str, command: Any, context: Any) -> str:
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    text = " ".join(command.help.split()).replace("<", "&lt;")
    lines = [f"\n#### `ccr-avn {name}`\n", f"{text}\n", "```text", usage, "```"]
    records = [one for part in getattr(command, "sections", lambda _: {})(context).values() for one in part]
    rows = [(f"`{left}`", right) for left, right in records if "--help" not in left]
    if rows:
        lines += ["", _table(("option", "what it does"), rows)]
    lines += ["", "```bash", *(line.strip() for line in command.epilog.splitlines()), "```"]
    return "\n".join(lines)


def _table(head: tuple[str, str], rows: Any) -> str:
    cells = [head, ("---", "---"), *((left, " ".join(right.split())) for left, right in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in cells)


def _members(group: Any, context: Any) -> list[tuple[str, Any]]:
    names = group.list_commands(context) if hasattr(group, "list_commands") else []
    every = [(name, group.get_command(context, name)) for name in names]
    return [(name, command) for name, command in every if not command.hidden]


def _context(command: Any, name: str, parent: Any) -> Any:
    made = command.context_class(
        command, parent=parent, info_name=name, terminal_width=COLUMNS, max_content_width=COLUMNS
    )
    made.help_option_names = ["-h", "--help"]
    return made


def main() -> None:
    REFERENCE.write_text(reference(), encoding="utf-8")
    for old in SCHEMAS.iterdir():
        old.unlink()
    for name, text in schemas().items():
        (SCHEMAS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
