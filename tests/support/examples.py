"""The files in examples/, run as they stand: only the places that they name are others here, and Aiven is a sandbox."""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.support.loaded import BIN
from tests.support.operator import Ended, Operator, ran
from tests.support.pairs import add_pair, backed_up, follows
from tests.support.wait import until

EXAMPLES = Path(__file__).parents[2] / "examples"
BARE = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": "/nonexistent"}
"""The environment that cron, systemd and ssh give, about."""


def started(home: Path, *words: str, **environment: str) -> Ended:
    """In an environment that is bare but for this."""
    return ran(home, words, {**BARE, **environment})


@dataclass(frozen=True, slots=True)
class Scene:
    """A machine on which ccr-avn is installed as the examples have it, with the token in avn's own file."""

    operator: Operator

    def __post_init__(self) -> None:
        sandbox = self.operator.sandbox
        token = json.dumps({"auth_token": sandbox.token, "user_email": "ops@example.com"})
        for place in (self.place("etc"), self.place(f"etc/{sandbox.platform.options.project}")):
            (place / "aiven-credentials.json").write_text(token)
            (place / "pairs.txt").write_text("cache-eu:cache-us\n")

    def place(self, name: str) -> Path:
        found = self.operator.home / name
        found.mkdir(parents=True, exist_ok=True)
        return found

    def text(self, name: str) -> str:
        """An example, with the places of this machine."""
        text = (EXAMPLES / name).read_text()
        places = {"/opt/ccr-avn/bin": BIN, "/etc/ccr-avn": self.place("etc"), "/var/lib/ccr-avn": self.place("state")}
        for there, here in places.items():
            text = text.replace(there, str(here))
        return text

    def runs(self, command: str, **environment: str) -> Ended:
        """By a shell. Of what a sandbox sets only its address is kept."""
        return self.starts("sh", "-c", command, **environment)

    def starts(self, *words: str, **environment: str) -> Ended:
        return started(self.operator.home, *words, AIVEN_WEB_URL=self.operator.sandbox.url, **environment)


def cached(operator: Operator) -> Operator:
    """With the pair of the examples: cache-eu and cache-us."""
    add_pair(operator, "cache-eu", "cache-us", plan="business-4")
    follows(operator, "cache-us")
    until(lambda: backed_up(operator, "cache-eu"), "a backup")
    return operator
