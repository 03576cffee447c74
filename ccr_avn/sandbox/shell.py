"""Marks a shell in the sandbox: with a banner, and in every prompt while avn talks to the sandbox."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

SHELLS = ("bash", "zsh", "sh", "dash", "ash", "ksh")
MARK = "(ccr-avn sandbox)"
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
  {source_before}
  {exports}
  case $PS1 in "{mark} "*) ;; *) PS1="{mark} $PS1" ;; esac ;;
esac
"""
"""Where nothing is done before a prompt, it is set once."""


def is_interactive(command: tuple[str, ...]) -> bool:
    """A shell that reads what a person types, by how it was called."""
    return Path(command[0]).name in SHELLS and set(command[1:]) <= {"-i"}


def banner(url: str) -> str:
    return (
        f"sandbox: in this shell avn and ccr-avn talk to {url}, not to Aiven.\n"
        f"The prompt begins with {MARK} as long as that is so. `exit` ends the sandbox with all its services.\n"
    )


def dressed(
    command: tuple[str, ...], sandbox: Mapping[str, str], outside: Mapping[str, str], directory: Path
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The command and what to add to its environment, so that its prompt is marked.

    The person's own start-up files are read first, and what they set for avn does not hold here.
    """
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in sandbox.items())
    exports += f'\nexport PATH={shlex.quote(str(BESIDE))}:"$PATH"'
    kind = Path(command[0]).name
    if kind == "bash":
        rc = _written(directory / "bashrc", _BASH.format(exports=exports, prompt=_PROMPT))
        return (command[0], "--rcfile", str(rc), *command[1:]), {}
    if kind == "zsh":
        before = shlex.quote(outside.get("ZDOTDIR") or outside.get("HOME") or "/")
        _written(directory / ".zshrc", _ZSH.format(before=before, exports=exports, prompt=_PROMPT))
        ours = shlex.quote(str(directory))
        _written(directory / ".zshenv", _ZSH_ENVIRONMENT.format(before=before, ours=ours))
        return command, {"ZDOTDIR": str(directory)}
    theirs = shlex.quote(outside.get("ENV", ""))
    source = f"[ ! -r {theirs} ] || . {theirs}"
    rc = _written(directory / "shrc", _SH.format(source_before=source, exports=exports, mark=MARK))
    return command, {"ENV": str(rc)}


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path
