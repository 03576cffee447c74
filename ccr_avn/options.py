"""How a field of a command is typed: its help, its rule. The command line is made of these in ``cli/``."""

import math
import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from ccr_avn.errors import UsageError
from ccr_avn.files import target_of

Rule = Callable[[str, Any], None]
"""Given the name of the option, argument or variable, and its value; raises :class:`UsageError`."""

Completes = Callable[[str], list[str]] | Literal["recent services"] | None
"""How the shell completes what was begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opt:
    """An option, named after its field; or an argument. ``rule``: what a value must be."""

    help: str
    metavar: str | None = None
    names: tuple[str, ...] = ()  # where the name is not that of the field
    rule: Rule | None = None
    argument: bool = False
    completes: Completes = None
    envvar: str | None = None


def opt_of(hint: Any) -> Opt | None:
    """How what is annotated so is typed; None: it is not."""
    return next((one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Opt)), None)


def option_name(field: str) -> str:
    return "--" + field.replace("_", "-")


def spelled(pattern: str, what: str, detail: str, hint: str) -> Rule:
    """The rule of a word that looks like ``pattern``, of its whole."""

    def check(where: str, word: str) -> None:
        if not re.fullmatch(pattern, word):
            raise UsageError(f"invalid {what} for {where}: {word!r}", detail=detail, hint=hint)

    return check


def _number(holds: Callable[[float], bool], detail: str, example: int) -> Rule:
    def check(option: str, number: float) -> None:
        if not holds(number):
            typed = f"{option} {example}" if option.startswith("-") else f"export {option}={example}"
            raise UsageError(f"invalid value for {option}: {number:g}", detail=detail, hint=f"for example: {typed}")

    return check


def a_file(holds: str, hint: str) -> Rule:
    """The rule of a file that is read. ``holds``: what is in it; ``hint``: a command, which the file's name follows."""

    def check(option: str, file: Path) -> None:
        if not file.is_file():
            command = f"{hint} {shlex.quote(str(file))}"
            raise UsageError(f"{option}: there is no file {file}", detail=f"it must hold {holds} (PEM)", hint=command)

    return check


def a_directory(option: str, directory: Path) -> None:
    """What is written there is written late: that it can't be should show before anything is done."""
    if not directory.exists():
        why, hint = "there is no such directory", shlex.join(("mkdir", "-p", str(directory)))
    elif not directory.is_dir():
        why, hint = "it is not a directory", "choose another"
    elif not os.access(directory, os.W_OK | os.X_OK):
        why, hint = "it is not writable for this user", "choose another"
    else:
        return
    raise UsageError(f"{option}: can't write to {directory}", detail=why, hint=hint)


def _check_file(option: str, file: Path, *, replaced: bool) -> None:
    """``replaced``: else it is written to as it is, so it may be a pipe or a device."""
    there, why = file.exists(), ""
    if file.is_dir():
        why = "it is a directory"
    elif there and replaced and not file.is_file():
        why = "it is not a regular file"
    elif there and not replaced and not os.access(file, os.W_OK):
        why = "it is not writable for this user"
    if why:
        raise UsageError(f"{option}: {file} can't be written", detail=why, hint="choose another")
    if replaced or not there:
        a_directory(option, target_of(file).parent)


a_name = spelled(
    r"[a-z][-a-z0-9]{0,63}",  # Aiven's rule
    "service name",
    "lower case letters, digits and dashes, starting with a letter, 64 at most",
    "check it with: avn service list",
)
a_word = spelled(
    r"[a-z][a-z0-9_-]*",  # clouds and plans: safe in argv and in a pasted shell
    "value",
    "lower case letters, digits and dashes, starting with a letter",
    "see `avn cloud list` for clouds, `avn service plans --cloud CLOUD` for plans",
)
a_project = spelled(
    r"[a-zA-Z][-a-zA-Z0-9_]{0,62}",
    "name",
    "letters, digits and dashes, starting with a letter, 63 at most",
    "check it with: avn project list",
)
not_negative = _number(lambda one: 0 <= one < math.inf, "it must be 0 or more; times are in seconds", 60)
above_zero = _number(lambda one: 0 < one < math.inf, "it must be above 0; times are in seconds", 60)
at_least_one = _number(lambda one: one >= 1, "it must be 1 or more", 20)
minutes_above_zero = _number(lambda one: 0 < one < math.inf, "it must be above 0, in minutes", 60)
a_file_to_replace = partial(_check_file, replaced=True)
a_file_to_write = partial(_check_file, replaced=False)


def flag(text: str) -> Opt:
    """What is on or off; what is on by itself has a ``--no-…`` too."""
    return Opt(help=text)


def cloud_of_replicas(text: str) -> Opt:
    return word("C", text, a_word, envvar="CCR_AVN_REPLICA_CLOUD")  # often the same for all


def choice(text: str, *names: str, envvar: str | None = None) -> Opt:
    return Opt(help=text, names=names, envvar=envvar)


def word(metavar: str, text: str, rule: Rule | None = None, *names: str, envvar: str | None = None) -> Opt:
    """``envvar``: for what is the same in all calls."""
    return Opt(help=text, metavar=metavar, rule=rule, names=names, envvar=envvar)


def seconds(text: str, rule: Rule = not_negative) -> Opt:
    return Opt(help=text, metavar="S", rule=rule)


def minutes(text: str) -> Opt:
    return Opt(help=text, metavar="M", rule=minutes_above_zero)


def number(text: str) -> Opt:
    """What is counted from 0."""
    return Opt(help=text, metavar="N", rule=not_negative)


def count(text: str) -> Opt:
    """What is counted from 1."""
    return Opt(help=text, metavar="N", rule=at_least_one)


def argument(metavar: str, text: str = "", rule: Rule | None = None, completes: Completes = None) -> Opt:
    return Opt(help=text, metavar=metavar, argument=True, rule=rule, completes=completes)


def service(metavar: str, text: str) -> Opt:
    return argument(metavar, text, a_name, "recent services")


Primary = Annotated[str, service("PRIMARY", "The primary: the service that is written to.")]
Replica = Annotated[str, service("REPLICA", "The read replica.")]
AllowRejected = Annotated[
    bool,
    flag(
        "Accept a replica that rejected commands from its primary, or lacks keys: what they wrote is missing there.",
    ),
]
LinkTimeout = Annotated[float, seconds("How long to wait for the replication link.")]
Samples = Annotated[int, count("How many markers (test writes) to send.")]
PromoteTimeout = Annotated[float, seconds("Time limit for the promotion; writes stay paused until then.", at_least_one)]
DoubtTimeout = Annotated[float, seconds("How long to wait for an unanswered deletion to take effect.")]
DrillService = Annotated[str | None, word("NAME", "To promote the service of a drill: repeat its name.", a_name)]
Service = Annotated[str, service("SERVICE", "The service to ask.")]
ProjectName = Annotated[
    str | None, word("P", "Aiven project; else avn's default.", a_project, "--project", envvar="AIVEN_PROJECT")
]
Avn = Annotated[
    str | None, word("PATH", "The avn to use; else the one installed with ccr-avn, PATH.", envvar="CCR_AVN_BIN")
]
NoPreload = Annotated[bool, flag("Start a new avn for each command; also CCR_AVN_NO_PRELOAD=1.")]
_CA_GET = "avn project ca-get --target-filepath"
CaFile = Annotated[
    Path | None,
    word(
        "F",
        f"Trust this CA too: `{_CA_GET} F`.",
        a_file("the project's CA certificate", _CA_GET),
        envvar="CCR_AVN_CA_FILE",
    ),
]
RouteName = Literal["dynamic", "public", "privatelink"]
"""As avn's `connection-info` has them. The dynamic one is that of the service_uri: inside a VPC it is private."""
Route = Annotated[
    RouteName | None,
    choice("Network route to services; else dynamic, or public if only that connects.", envvar="CCR_AVN_ROUTE"),
]
Check = Annotated[bool, flag("Run the pre-checks only; exit 0 if they pass, 4 if not.")]
Json = Annotated[bool, flag("Print one JSON object, for errors too.")]
DryRun = Annotated[bool, flag("Print the commands, ready to paste; ask and change nothing.")]
Yes = Annotated[bool, flag("Skip confirmation (required when not interactive).")]
MAX_LAG_BYTES = 31_457_280
"""How far a replica may be behind where nothing was said: as Google's Memorystore has it."""
PollInterval = Annotated[float, seconds("Maximum polling interval; starts at 0.5 s.", above_zero)]
CallTimeout = Annotated[
    float, Opt(help="Time limit for one avn command.", metavar="S", rule=above_zero, envvar="CCR_AVN_CALL_TIMEOUT")
]


@dataclass(frozen=True, kw_only=True)  # no slots: a class has them from one base only
class FailoverOptions:
    """The options of a failover: avn is started with them before all else is loaded, so they stand here."""

    replica: Replica
    allow_data_loss: Annotated[bool, flag("Required: accept that the last writes may be lost.")] = False
    force_partial: Annotated[bool, flag("Promote a replica whose initial sync is incomplete.")] = False
    no_verify: Annotated[bool, flag("Trust Aiven's API alone, where REPLICA can't be reached.")] = False
    drill_service: DrillService = None
    wait_automatic: Annotated[float, seconds("Wait up to S seconds for automatic promotion by Aiven.")] = 0
    promote_timeout: PromoteTimeout = 600
    doubt_timeout: DoubtTimeout = 60

    def __post_init__(self) -> None:
        if self.no_verify and (self.wait_automatic or self.force_partial):
            raise UsageError(
                "--no-verify can't be combined with --wait-automatic or --force-partial",
                detail="both need a connection to the replica, and --no-verify makes none",
                hint="leave out --no-verify; or leave out --wait-automatic and --force-partial",
            )
