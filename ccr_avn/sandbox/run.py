"""Runs a sandbox, and ends it without a trace: for a caller, around a command or a shell, or in the foreground."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ccr_avn.errors import UsageError
from ccr_avn.process import raise_descriptors
from ccr_avn.sandbox.platform import Platform
from ccr_avn.sandbox.records import ApiError, SandboxOptions, checked
from ccr_avn.sandbox.servers import Keeper, NoServers, ValkeyServers
from ccr_avn.sandbox.tls import with_certificates
from ccr_avn.sandbox.web import Fault, RunningSandbox
from ccr_avn.signals import handled

SHELLS = ("bash", "zsh", "sh", "dash", "ash", "ksh")
MARK = "(ccr-avn sandbox)"
ENDING = (signal.SIGTERM, signal.SIGHUP)
BESIDE = Path(sys.executable).parent
"""Where this ccr-avn and its avn are: they come first, wherever a start-up file has put others."""

_PROMPT = f"""
__ccr_avn_prompt() {{
  if [ "$AIVEN_WEB_URL" = "$CCR_AVN_SANDBOX" ]; then
    case $PS1 in "{MARK} "*) ;; *) PS1="{MARK} $PS1" ;; esac
  else
    PS1=${{PS1#"{MARK} "}}
  fi
}}
"""
"""Checked before every prompt: another tool may have replaced the prompt, and avn may talk to Aiven again."""

_BASH = """
[ ! -r ~/.bashrc ] || . ~/.bashrc
{exports}
{prompt}
case "$(declare -p PROMPT_COMMAND 2>/dev/null)" in
  "declare -a"*) PROMPT_COMMAND+=(__ccr_avn_prompt) ;;
  *) PROMPT_COMMAND="${{PROMPT_COMMAND:+$PROMPT_COMMAND
}}__ccr_avn_prompt" ;;
esac
"""

_ZSH = """
ZDOTDIR={before}
[ ! -r "$ZDOTDIR/.zshrc" ] || . "$ZDOTDIR/.zshrc"
{exports}
{prompt}
precmd_functions+=(__ccr_avn_prompt)
"""

_ZSH_ENVIRONMENT = """
[ ! -r {before}/.zshenv ] || . {before}/.zshenv
ZDOTDIR={ours}
"""

_SH = """
case $- in *i*)
  [ ! -r {before} ] || . {before}
  {exports}
  case $PS1 in "{mark} "*) ;; *) PS1="{mark} $PS1" ;; esac ;;
esac
"""
"""Where nothing is done before a prompt, it is set once."""


def is_interactive(command: tuple[str, ...]) -> bool:
    """A shell that reads what a person types, by how it was called."""
    return Path(command[0]).name in SHELLS and set(command[1:]) <= {"-i"}


def with_marked_prompt(
    command: tuple[str, ...], sandbox: Mapping[str, str], outside: Mapping[str, str], directory: Path
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The command and what to add to its environment, so that its prompt is marked.

    The person's own start-up files are read first, and what they set for avn does not hold here.
    """
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in sandbox.items())
    exports += f'\nexport PATH={shlex.quote(str(BESIDE))}:"$PATH"'
    kind = Path(command[0]).name
    theirs = outside.get("ENV", "") if kind != "zsh" else outside.get("ZDOTDIR") or outside.get("HOME") or "/"
    before = shlex.quote(theirs)
    words = {"exports": exports, "prompt": _PROMPT, "mark": MARK, "ours": shlex.quote(str(directory))}
    files = {"bash": {"bashrc": _BASH}, "zsh": {".zshrc": _ZSH, ".zshenv": _ZSH_ENVIRONMENT}}.get(kind, {"shrc": _SH})
    for name, text in files.items():
        path = directory / name
        path.touch(0o600)
        path.write_text(text.format(before=before, **words))
    if kind == "bash":
        return (command[0], "--rcfile", str(directory / "bashrc"), *command[1:]), {}
    return command, {"ZDOTDIR": str(directory)} if kind == "zsh" else {"ENV": str(directory / "shrc")}


@contextlib.contextmanager
def running(options: SandboxOptions, faults: tuple[dict[str, Any], ...] = ()) -> Iterator[RunningSandbox]:
    """A sandbox on a free loopback port for as long as the block runs.

    Raises:
        UsageError: the files for TLS can't be used, or a fault is none.
        ModuleNotFoundError: the packages of the extra ``sandbox`` are not installed.
    """
    raise_descriptors()  # a port is kept for each service
    keeper = Keeper()
    with contextlib.ExitStack() as stack:
        stack.callback(keeper.close)
        home = Path(tempfile.mkdtemp(prefix="ccr-avn-home-"))
        keeper.tell("sweep", home)
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        options = with_certificates(options, home)
        servers: Any = ValkeyServers(options, keeper) if options.data_plane else NoServers()
        stack.callback(servers.close)
        lock = threading.RLock()

        def later(seconds: float, act: Callable[[], None]) -> None:
            def locked() -> None:
                with lock:
                    act()

            timer = threading.Timer(seconds, locked)
            timer.daemon = True
            stack.callback(timer.cancel)
            timer.start()

        platform = Platform(options, servers, time.monotonic, later)
        sandbox = RunningSandbox(home, platform, servers, lock)
        threading.Thread(target=sandbox.serve_forever, args=(0.05,), daemon=True).start()
        stack.callback(sandbox.server_close)
        stack.callback(sandbox.shutdown)
        for fault in faults:
            try:
                sandbox.faults.add(**checked(json.dumps(fault).encode(), Fault))
            except ApiError as refusal:
                raise UsageError("invalid fault", detail=refusal.message, hint="ccr-avn sandbox fault --help") from None
        yield sandbox


def run_inside(options: SandboxOptions, command: tuple[str, ...], faults: tuple[dict[str, Any], ...]) -> int:
    """Run the command with the sandbox's environment; its exit code, or 128 + the signal that ended it.

    Raises:
        UsageError: there is no such command.
    """
    with handled(ENDING, _exit_by), running(options, faults) as sandbox:
        inside, more = command, dict[str, str]()
        if is_interactive(command) and sys.stdin.isatty():
            sys.stderr.write(
                f"sandbox: in this shell avn and ccr-avn talk to {sandbox.url}, not to Aiven.\n"
                f"The prompt begins with {MARK} as long as that is so. `exit` ends the sandbox with all its services.\n"
            )
            inside, more = with_marked_prompt(command, sandbox.environment(), os.environ, sandbox.home)
        try:
            path = {"PATH": f"{BESIDE}:{os.environ.get('PATH', os.defpath)}"}
            child = subprocess.Popen(inside, env={**os.environ, **path, **sandbox.environment(), **more})
        except OSError as error:
            hint = "ccr-avn sandbox run -- avn service list"
            raise UsageError(f"{command[0]} can't be run", detail=str(error.strerror), hint=hint) from None
        while True:
            try:
                code = child.wait()
                return code if code >= 0 else 128 - code
            except KeyboardInterrupt:  # the child has it by itself, in the terminal's group
                continue
            except SystemExit as ended:
                child.send_signal(int(ended.code or 0) - 128)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(10)
                child.kill()
                child.wait()
                raise


def stay_up(options: SandboxOptions, faults: tuple[dict[str, Any], ...]) -> int:
    """Print the export lines and stay until a signal comes: Ctrl-C is the usual one."""
    try:
        with handled(ENDING, _exit_by), running(options, faults) as sandbox:
            for name, value in sandbox.environment().items():
                sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
            sys.stdout.write(f'PS1="{MARK} ${{PS1-}}"\n')
            sys.stderr.write(
                f"sandbox: up at {sandbox.url} until Ctrl-C; paste the lines into the shells to use it from\n"
            )
            sys.stdout.flush()
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0


def _exit_by(number: int, _: FrameType | None) -> NoReturn:
    """With everything undone that must be."""
    sys.exit(128 + number)
