"""What was last known of a run that died or failed, and which command goes on."""

import shlex
from collections.abc import Iterable
from typing import Any

from ccr_avn.story import Story, string

NO_OPTIONS = {"primary", "replica", "project", "avn", "command", "options", "run", "title"}
"""Facts that are no options of the command."""


def next_command(story: Story) -> str:
    """What goes on from here: the same command, which looks first. Empty when nothing is left to do."""
    if story.state == "done" or story.command == "unknown":
        return ""
    words = ["ccr-avn", story.command]
    words += [name for name in (string(story.facts.get("primary")), story.replica) if name]
    if story.project:
        words += ["--project", story.project]
    given = story.facts.get("options")
    if isinstance(given, list):
        words += [string(word) for word in given]
    else:
        words += _options({key: value for key, value in story.facts.items() if key not in NO_OPTIONS})
    return shlex.join(words)


def last_known(story: Story) -> tuple[str, ...]:
    """Of a run that has no end or failed: sentences that tell where it stood."""
    if story.state == "done":
        return ()
    done = [step for step in story.steps if step.outcome in ("found", "changed", "proven", "failed")]
    at = [step for step in story.steps if step.outcome in ("under way", "stopped")]
    told = [f"last finished step: {done[-1].slug}: {done[-1].finding}" if done else "no step had finished"]
    told += [f"{step.outcome}: {step.slug}" + (f": {step.finding}" if step.finding else "") for step in at]
    if error := string(story.result.get("error")):
        told += [one for one in (error, string(story.result.get("detail"))) if one]
    return (*told, *_consequence(story))


def _consequence(story: Story) -> Iterable[str]:
    fence, promote = story.step("fence"), story.step("promote")
    if promote and any(one.kind == "change" for one in promote.commands) and promote.outcome != "changed":
        yield "the promotion was sent; only a look tells whether it acted: the same command, run again, looks first"
    if not fence or fence.outcome != "changed" or fence.undone or story.state != "open":
        return
    if promote and any(one.kind == "change" for one in promote.commands):
        yield f"writes on {story.primary} may still be held back, for as long as --promote-timeout at most"
    else:
        yield f"nothing was promoted: writes on {story.primary} are let through again when --fence-ttl has passed"


def _options(facts: dict[str, Any]) -> Iterable[str]:
    for key, value in facts.items():
        name = "--" + key.replace("_", "-")
        if value is True:
            yield name
        elif isinstance(value, (str, int, float)) and value is not False and value != "":
            yield from (name, str(value))
