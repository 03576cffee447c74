"""The words of the project: what not to write in messages, help and docs, each with what to write instead."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("*.md", ".github/**/*.yml", "docs/*.md", "docs/*.yml", "examples/**/*", "ccr_avn/**/*.j2", "ccr_avn/**/*.md")
INSTEAD = {
    r"\b(mend|heed|befall|stumble)(s|ed|ing)?\b": "fix; ignore, obey; happen to; get in the way",
    r"\b(anew|in vain|indeed|so many|fate)\b": "again; without success; really; up to N; what happens to it",
    r"(?<!can[ -])(?<!can't )\b(told|tells?)\b": "report, show, say",
    r"\bbe (it|they)\b": "whether or not",
    r"\bwho(m|mever|ever)\b": "which service, anyone who",
    r"\bthrow-?away\b": "temporary replica",
    r"\badmit(s|ted)?\b": "accept (a service), allow (a filter)",
    r"\blets? \w+ in\b": "accept",
    r"\bwhat (becomes?|became|came) of\b": "what happened to, whether it took effect",
    r"\bgo(es)? on (with|from)\b": "resume",
    r"\ball the same\b": "anyway",
    r"\bsome (milliseconds|seconds|minutes|hours)\b": "a few",
    r"\b(of ours|of us|by us|it is we)\b": "ccr-avn, this machine",
    r"\b(promoted|done|exists?) already\b": "already promoted, already exists",
    r"\bgo together\b": "can't be combined",
    r"\b(is|are|be) shut\b": "closed",
    r"\bbreaks? into\b": "interrupts",
    r"\blook(ed|s)? (at|again|first)\b": "inspect, check",
    r"\b(a|one|last|first) look\b": "check",
    r"\bby (itself|themselves)\b": "automatically, on its own",
    r"\b(is|are) to be\b": "must be, will be",
    r"\bbeside (it|them|a|the)\b": "next to, compared with",
    r"\bany more\b": "no longer",
    r"\bnot there\b": "does not exist",
}


@functools.cache
def visible() -> tuple[tuple[str, str], ...]:
    """Where each text is, and the text: strings with a blank, and the lines of pages without what is quoted as code."""
    found = []
    for path in sorted((ROOT / "ccr_avn").rglob("*.py")):
        tree = ast.parse(path.read_text())
        documenting = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documenting:
                found += [(f"{path}:{node.lineno}", node.value)] if " " in node.value else []
    for page in sorted(one for form in PAGES for one in ROOT.glob(form) if one.is_file()):
        for number, line in enumerate(page.read_text().splitlines(), 1):
            found.append((f"{page}:{number}", re.sub(r"`[^`]*`", "", line)))
    return tuple(found)


@pytest.mark.parametrize(("word", "better"), INSTEAD.items())
def test_it_is_said_in_the_words_of_the_field(word: str, better: str) -> None:
    found = [f"{where}: {text.strip()[:200]}" for where, text in visible() if re.search(word, text)]
    assert not found, f"say: {better}"
