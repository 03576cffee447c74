"""Whether a run sends the changing avn commands that its preview shows, word for word."""

import re
import shlex
from collections.abc import Iterable

CHANGING = ("create", "update", "delete", "terminate")
HOLE = re.compile(r"\$\{\w+:\?\}")
"""What only an earlier answer supplies, in the middle of a word or alone."""


def does_as_shown(preview: str, progress: str) -> None:
    """``progress`` is what a run has told on stderr, in lines like ``step: avn …``. What has no other replica is not marked."""
    marked = "marked: avn" in progress
    shown = _changing(line.strip() for line in preview.splitlines() if marked or "promoting" not in line)
    sent = _changing(line.partition(": ")[2] for line in progress.splitlines())
    assert shown
    assert len(shown) == len(sent), (shown, sent)
    for words, done in zip(shown, sent, strict=True):
        pattern = "\0".join(".+".join(re.escape(part) for part in HOLE.split(word)) for word in words)
        assert re.fullmatch(pattern, "\0".join(done)), (words, done)


def _changing(lines: Iterable[str]) -> list[list[str]]:
    found = [shlex.split(line.removesuffix(" ||")) for line in lines if line.startswith("avn ")]
    return [words for words in found if any(part in word for word in words[2:4] for part in CHANGING)]


def commands(preview: str) -> list[list[str]]:
    """The ``avn`` and ``ccr-avn`` commands of a preview in order, also those whose output is kept."""
    found = []
    for line in preview.splitlines():
        kept = KEPT.fullmatch(line.strip())
        words = kept.group(1) if kept else line.strip().removesuffix(" ||")
        if words.startswith(("avn ", "ccr-avn ")):
            found.append(shlex.split(words))
    return found


KEPT = re.compile(r'\w+="\$\((.*)\)"')


def broken_at(preview: str, line: str, *, acts: bool = False) -> str:
    """The same text with the first line of this command failing without doing anything, or once it has done all."""
    lines = preview.splitlines()
    place = next(number for number, one in enumerate(lines) if not one.startswith("#") and f"{line} " in one)
    kept, forgiven = KEPT.fullmatch(lines[place]), " ||" * lines[place].endswith(" ||")
    command = f"{{ {lines[place].removesuffix(' ||').strip()}; false; }}" if acts else "false"
    lines[place] = f'{lines[place].partition("=")[0]}="$(false)"' if kept else f"{command}{forgiven}"
    return "\n".join(lines)
