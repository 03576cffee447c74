"""Groups, summary lines and examples that `--help` shows beside the options."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typer.core import TyperCommand, TyperGroup

from ccr_avn.cli.gate_lines import GATES


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``line``: for the list of commands, at most 60 characters, so that it fits 80 columns uncut."""

    line: str
    examples: tuple[str, ...]


def _page(line: str, *examples: str) -> Page:
    return Page(line=line, examples=examples)


GROUPS: Mapping[str, Mapping[str, Page]] = {
    "Set up": {
        "enable": _page(
            "Create a primary and its read replica; prove replication",
            "ccr-avn enable eu us --primary-cloud do-fra --replica-cloud aws-us-east-1",
            "ccr-avn enable eu us --replica-cloud aws-us-east-1 --check",
            "ccr-avn enable eu us --replica-cloud aws-us-east-1 --dry-run",
        ),
        "doctor": _page(
            "Check avn, the token, the project and its permissions",
            "ccr-avn doctor",
            "ccr-avn doctor --project my-project --json",
        ),
    },
    "Look": {
        "status": _page(
            "Show the health of every pair",
            "ccr-avn status",
            "ccr-avn status --expect eu:us --format nagios",
            "ccr-avn status --format prometheus --output ccr.prom",
        ),
        "verify": _page(
            "Prove that a replica has the data of its primary",
            "ccr-avn verify eu us",
            "ccr-avn verify eu us --level values --differences differences.jsonl",
            "ccr-avn verify eu us --level keys --sample 10000",
        ),
        "watch": _page(
            "Watch the replication lag",
            "ccr-avn watch eu us",
            "ccr-avn watch eu us --until-lag-below 50ms --for 60s",
            "ccr-avn watch eu us --alert-lag 1000 --alert-command ./page-me.sh",
        ),
        "endpoint": _page(
            "Print connection details, password included",
            "ccr-avn endpoint us",
            "ccr-avn endpoint us --format env > app.env",
        ),
    },
    "Move": {
        "switchover": _page(
            "Promote a replica, planned: no acknowledged write is lost",
            "ccr-avn switchover eu us --check",
            "ccr-avn switchover eu us",
            "ccr-avn switchover eu us --yes --write-env app.env --after ./deploy.sh",
        ),
        "failover": _page(
            "Promote a replica, forced: its primary is lost",
            "ccr-avn failover us --check --allow-data-loss",
            "ccr-avn failover us --allow-data-loss",
            "ccr-avn failover us --allow-data-loss --no-verify",
        ),
        "evacuate": _page(
            "Move every pair of a cloud, in waves",
            "ccr-avn evacuate google-europe-west1 --check",
            "ccr-avn evacuate 'google-*' --canary 2 --write-env-dir env",
            "ccr-avn evacuate google-europe-west1 --auto --allow-data-loss",
        ),
    },
    "History": {
        "runs": _page(
            "Show, check and report on earlier runs",
            "ccr-avn runs list",
            "ccr-avn runs show latest",
            "ccr-avn runs report latest -o report.html",
        ),
    },
    "Rehearse": {
        "drill": _page(
            "Rehearse a promotion on a temporary replica in your account",
            "ccr-avn drill eu --replica-cloud aws-us-east-1 --check",
            "ccr-avn drill eu --replica-cloud aws-us-east-1",
            "ccr-avn drill --clean",
        ),
        "sandbox": _page(
            "Rehearse all of this locally, without an account",
            "ccr-avn sandbox run -- bash",
            "ccr-avn sandbox outage google-europe-west1",
        ),
    },
    "Low-level": {
        "fence": _page(
            "Pause writes on a primary for a limited time",
            "ccr-avn fence eu --ttl 60",
            'token="$(ccr-avn fence eu --token)"',
        ),
        "unfence": _page("Resume writes on a primary", "ccr-avn unfence eu", "ccr-avn unfence eu --disconnect"),
        "gate": _page(
            "Run one check of a procedure by itself",
            "ccr-avn gate running eu --timeout 600",
            "ccr-avn gate link eu us --json",
        ),
    },
}

PAGES: Mapping[str, Page] = {
    **{name: page for group in GROUPS.values() for name, page in group.items()},
    **{
        f"gate {name}": _page(line, *(f"ccr-avn gate {name} {words}" for words in examples))
        for name, (line, *examples) in GATES.items()
    },
    "runs list": _page("List the runs of this machine", "ccr-avn runs list", "ccr-avn runs list --limit 5 --json"),
    "runs show": _page(
        "Show one run step by step, and how to resume it",
        "ccr-avn runs show latest",
        "ccr-avn runs show 20260102T030405Z-1ff96c --json",
    ),
    "runs verify": _page(
        "Check that a journal is intact", "ccr-avn runs verify latest", 'ccr-avn runs verify latest --head "$head"'
    ),
    "runs report": _page(
        "Write a report of one run, as HTML or Markdown",
        "ccr-avn runs report latest --output report.html",
        "ccr-avn runs report latest --format markdown",
    ),
    "sandbox run": _page(
        "Start a sandbox, run a command in it, leave nothing behind",
        "ccr-avn sandbox run -- bash",
        "ccr-avn sandbox run --build-seconds 10 --tls -- bash",
        "ccr-avn sandbox run --set promote_empty -- bash",
    ),
    "sandbox up": _page(
        "Start a sandbox in the foreground, for other shells",
        "ccr-avn sandbox up",
        "ccr-avn sandbox up --refuse-client-pause",
    ),
    "sandbox fault": _page(
        "Make the next API requests fail",
        "ccr-avn sandbox fault kind=status status=500 method=POST times=1",
        'ccr-avn sandbox fault kind=status status=429 "message=try again in 27s"',
    ),
    "sandbox outage": _page(
        "Lose a service, or a whole cloud",
        "ccr-avn sandbox outage google-europe-west1",
        "ccr-avn sandbox outage eu --kind freeze",
    ),
    "sandbox heal": _page("End an outage", "ccr-avn sandbox heal", "ccr-avn sandbox heal eu"),
    "sandbox clear": _page(
        "Cancel the faults that are still pending",
        "ccr-avn sandbox clear",
        "ccr-avn sandbox fault kind=hang && ccr-avn sandbox clear",
    ),
    "sandbox requests": _page(
        "Show the requests that the API received", "ccr-avn sandbox requests", "ccr-avn sandbox requests | grep DELETE"
    ),
}

CONNECTION = ("project", "avn", "ca_file", "route")
LIMITS = ("timeout", "interval", "ttl", "seconds", "delay")
"""Options whose names end in these are times: they are listed behind those that say what to do."""


class HelpCommand(TyperCommand):
    """Options in sections, the commonest first."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (the name is the parent's)
        write_examples(self.epilog, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {
            title: [] for title in ("Arguments", "Options", "Times", "Connection")
        }
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                sections[_section(param)].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class HelpGroup(TyperGroup):
    """The program's commands in groups, those of a group in one list."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (the name is the parent's)
        write_examples(self.epilog, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        names = self.list_commands(ctx)
        groups = GROUPS if ctx.parent is None else {"Commands": dict.fromkeys(names)}
        width = max(len(name) for members in groups.values() for name in members)
        for title, members in groups.items():
            rows = [(name.ljust(width), self._line(ctx, name)) for name in members]
            with formatter.section(title):
                formatter.write_dl(rows)

    def _line(self, ctx: Any, name: str) -> str:
        path = " ".join([*ctx.command_path.split()[1:], name])
        return PAGES[path].line


def write_examples(examples: str | None, formatter: Any) -> None:
    """As they are typed: no line is wrapped."""
    if examples:
        with formatter.section("Examples"):
            for line in examples.splitlines():
                formatter.write(f"  {line}\n")


def stand_in(name: str) -> HelpCommand:
    """For a list of names: the command itself need not be loaded."""
    return HelpCommand(name=name, short_help=PAGES[name].line)


def page(name: str) -> dict[str, Any]:
    """The keywords for `Typer.command` of a command, by its full name."""
    return {"short_help": PAGES[name].line, "epilog": "\n".join(PAGES[name].examples)}


def group(name: str) -> dict[str, Any]:
    """The same for `Typer.add_typer`."""
    return {"cls": HelpGroup, **page(name)}


def _section(param: Any) -> str:
    if param.param_type_name == "argument":
        return "Arguments"
    if param.name in CONNECTION:
        return "Connection"
    return "Times" if param.name.endswith(LIMITS) else "Options"
