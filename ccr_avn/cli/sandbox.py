"""`ccr-avn sandbox`: rehearse without an account."""

import json
import os
import re
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from typing import Annotated, Any

import typer

from ccr_avn import options
from ccr_avn.cli.commands import command, group
from ccr_avn.errors import UsageError
from ccr_avn.output import console
from ccr_avn.sandbox.records import SandboxOptions
from ccr_avn.sandbox.run import run_inside, stay_up

app = group(
    """Rehearse without an account: an Aiven API on loopback, with real Valkey servers behind it.

    Examples:
      ccr-avn sandbox run -- bash
      ccr-avn sandbox outage google-europe-west1
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour(SandboxOptions):
    """The same, and what is typed in other words: faults, and fields that have no option of their own."""

    fault: Annotated[
        list[str] | None, options.word("K=V,…", "As `sandbox fault`: --fault kind=status,status=500,method=POST")
    ] = None
    more: Annotated[
        list[str] | None,
        options.word(
            "NAME=VALUE",
            "Other behaviour; repeatable: promote_restart, promote_empty, promote_password, stale_rows=S, "
            "filter_cuts=all|new-only|never, serve_stale_data=false, refuse_commands=client|list,…, platform_writes=S, "
            "platform_lifts_pauses=S, platform_connects, promoted_backups=false, prices=false, filter_reopens=false, "
            "tags_forbidden, components=false, server=PROGRAM, requests_per_second=N.",
            None,
            "--set",
        ),
    ] = None

    @property
    def options(self) -> SandboxOptions:
        """Raises:
        UsageError: --set names no field of them, or one that can't have that value.
        """
        from pydantic import TypeAdapter, ValidationError

        fields = asdict(self)
        del fields["fault"], fields["more"]
        for word in self.more or ():
            name, _, text = word.partition("=")
            if name not in fields:
                raise UsageError(
                    f"invalid --set {word!r}", detail=f"known names: {', '.join(fields)}", hint="--set promote_restart"
                )
            fields[name] = text.split(",") if isinstance(fields[name], tuple | list) else text or "true"
        try:
            return TypeAdapter(SandboxOptions).validate_python(fields)
        except ValidationError as refusal:
            seen = refusal.errors()[0]
            raise UsageError(
                f"invalid --set {seen['loc'][0]}", detail=seen["msg"], hint="ccr-avn sandbox run --help"
            ) from None

    @property
    def faults(self) -> tuple[dict[str, Any], ...]:
        return tuple(_fault(text) for text in self.fault or ())


@command(app, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    *,
    command: Annotated[list[str], options.argument("-- COMMAND...", "Run with the sandbox's environment.")],
    asked: Behaviour,
) -> None:
    """Start a sandbox, run COMMAND in it, leave nothing behind; its exit code is passed on.

    Examples:
      ccr-avn sandbox run -- bash
      ccr-avn sandbox run --build-seconds 10 --tls -- bash
      ccr-avn sandbox run --set promote_empty -- bash
    """
    raise typer.Exit(run_inside(asked.options, tuple(command), asked.faults))


@command(app)
def up(asked: Behaviour) -> None:
    """Start a sandbox in the foreground, for other shells: print the `export` lines; Ctrl-C ends it.

    Examples:
      ccr-avn sandbox up
      ccr-avn sandbox up --refuse-client-pause
    """
    raise typer.Exit(stay_up(asked.options, asked.faults))


@command(app)
def fault(how: Annotated[list[str], options.argument("KEY=VALUE...", "")]) -> None:
    """Make the next API requests fail: kind=status|status-after|html|cut-json|close-before|close-after|delay|hang|hang-after,
    status=500, message=TEXT, method=POST or changing, path=REGEX, times=N, skip=N, seconds=S.

    Examples:
      ccr-avn sandbox fault kind=status status=500 method=POST times=1
      ccr-avn sandbox fault kind=status status=429 "message=try again in 27s"
    """
    _post("faults", _fault(",".join(how)))


@command(app)
def outage(
    target: Annotated[str, options.argument("CLOUD|SERVICE", "")],
    kind: Annotated[str, options.word("kill|freeze|api-only|cut|loading|restart", "")] = "kill",
) -> None:
    """Lose a service, or a whole cloud: its servers die, freeze, or are cut off from clients.

    Examples:
      ccr-avn sandbox outage google-europe-west1
      ccr-avn sandbox outage eu --kind freeze
    """
    console.say(f"lost: {', '.join(_post('outage', {'target': target, 'kind': kind})['struck'])}")


@command(app)
def heal(target: Annotated[str | None, options.argument("[CLOUD|SERVICE]", "")] = None) -> None:
    """End an outage. A killed service comes back with the data of its last clean shutdown, if there was one.

    Examples:
      ccr-avn sandbox heal
      ccr-avn sandbox heal eu
    """
    console.say(f"healed: {', '.join(_post('heal', {'target': target})['healed'])}")


@command(app)
def clear() -> None:
    """Cancel the faults that are still pending.

    Examples:
      ccr-avn sandbox clear
      ccr-avn sandbox fault kind=hang && ccr-avn sandbox clear
    """
    _post("clear", {})


@command(app)
def requests() -> None:
    """Show the requests that the API received, with their status.

    Examples:
      ccr-avn sandbox requests
      ccr-avn sandbox requests | grep DELETE
    """
    for one in _post("requests", {})["requests"]:
        console.say(f"{one['status']} {one['method']} {one['path']}")


def _fault(text: str) -> dict[str, Any]:
    """``kind=status,status=500`` as the fault's fields.

    Raises:
        UsageError: it can't be read.
    """
    try:
        return dict(part.split("=", 1) for part in re.split(r",(?=\w+=)", text))
    except ValueError:
        raise UsageError(
            f"invalid fault: {text!r}",
            detail="it is KEY=VALUE, joined by commas",
            hint="kind=status,status=500,method=POST,times=1",
        ) from None


def _post(command: str, body: dict[str, Any]) -> Any:
    """Post to the sandbox that this shell runs in.

    Raises:
        UsageError: there is none, or it refuses.
    """
    url = os.environ.get("CCR_AVN_SANDBOX", "")
    if not url.startswith("http://127.0.0.1:"):
        raise UsageError(
            "not inside a sandbox",
            detail="CCR_AVN_SANDBOX is not set",
            hint="start one with `ccr-avn sandbox up` and paste its export lines, or use `ccr-avn sandbox run -- bash`",
        )
    token = os.environ.get("CCR_AVN_SANDBOX_CONTROL", "")
    headers = {"Authorization": f"sandbox {token}", "Content-Type": "application/json"}
    connection = HTTPConnection(url.removeprefix("http://"), timeout=30)  # loopback: no proxy
    try:
        connection.request("POST", f"/sandbox/{command}", json.dumps(body), headers)
        answer = connection.getresponse()
        said = json.load(answer)
    except OSError:
        raise UsageError("the sandbox is gone", detail=url, hint="start one: ccr-avn sandbox up") from None
    finally:
        connection.close()
    if answer.status >= 400:
        raise UsageError(said["message"], detail="the sandbox refused", hint="ccr-avn sandbox --help")
    return said
