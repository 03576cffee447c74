"""The simulated avn against the installed one on a sandbox: what it prints, what it sends, and how its failures are read."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from ccr_avn.aiven import failure
from ccr_avn.process import Answer
from ccr_avn.sandbox.platform import Platform
from ccr_avn.sandbox.records import SandboxOptions
from ccr_avn.sandbox.run import running
from ccr_avn.sandbox.servers import NoServers
from ccr_avn.sandbox.web import RunningSandbox
from tests.simulation.avn import AVN, PROJECT, Avn, Fault, Web
from tests.simulation.kernel import Kernel, Owner

OPTIONS = SandboxOptions(
    build_seconds=0.0,
    backup_seconds=0.0,
    promote_seconds=0.0,
    data_plane=False,
    project=PROJECT,
    vpc_clouds=("aws-eu-west-1",),
)
LOADED = """
import json, os, sys, tempfile
from aiven.client.__main__ import main
from ccr_avn.loaded_avn import exit_code
for line in sys.stdin:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if not pid:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = ["avn", *json.loads(line)]
            os._exit(exit_code(main))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        said = [one.read().decode() for one in (out, err) if not one.seek(0)]
    print(json.dumps([code, *said]), flush=True)
"""
"""The installed avn, loaded once: each line has the words of a command, which is a process of its own."""


KINDS = {"cut": "close-before", "half": "cut-json"}
"""What the sandbox calls them."""


class Side(Protocol):
    platform: Platform

    def run(self, *words: str) -> Answer: ...

    def fail(self, kind: str, method: str, status: int, message: str, times: int) -> None:
        """The next so many requests of that method; ``kind``: status, cut or half."""

    def sent(self) -> list[tuple[str, str, Any]]:
        """Every request; with a body where it was to change something."""


class Installed:
    def __init__(self, sandbox: RunningSandbox) -> None:
        self._sandbox, self.platform = sandbox, sandbox.platform
        self._avn = subprocess.Popen(
            (sys.executable, "-c", LOADED),
            env={**sandbox.environment(), "LANGUAGE": "C"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> Answer:
        assert self._avn.stdin
        assert self._avn.stdout
        print(json.dumps(words), file=self._avn.stdin, flush=True)
        code, stdout, stderr = json.loads(self._avn.stdout.readline())
        return Answer(argv=(AVN, *words), code=code, stdout=stdout, stderr=stderr, seconds=0.0)

    def fail(self, kind: str, method: str, status: int, message: str, times: int) -> None:
        self._sandbox.faults.clear()
        self._sandbox.faults.add(kind=KINDS.get(kind, kind), method=method, status=status, message=message, times=times)

    def sent(self) -> list[tuple[str, str, Any]]:
        return [(one["method"], one["path"], one.get("body") or None) for one in self._sandbox.requests]

    def close(self) -> None:
        with self._avn:
            assert self._avn.stdin
            self._avn.stdin.close()


class Simulated:
    def __init__(self) -> None:
        self._kernel = kernel = Kernel(seed=1)
        self.platform = Platform(OPTIONS, NoServers(), lambda: kernel.now, kernel.later)
        self._web = Web(kernel, self.platform)
        self._avn = Avn(kernel, self._web)

    def run(self, *words: str) -> Answer:
        found: list[Answer] = []
        task = self._kernel.spawn(
            Owner("ann"), lambda: found.append(self._avn.run((AVN, *words), deadline=60)), "the test"
        )
        self._kernel.run(self._kernel.now + 60, over=lambda: task.over)
        return found[0]

    def fail(self, kind: str, method: str, status: int, message: str, times: int) -> None:
        self._web.faults[:] = [Fault(kind, method, status=status, message=message, times=times)]

    def sent(self) -> list[tuple[str, str, Any]]:
        return [(one.method, one.path, one.body) for one in self._web.log]


@pytest.fixture
def installed() -> Iterator[Installed]:
    with running(OPTIONS) as sandbox:
        made = Installed(sandbox)
        yield made
        made.close()


TALK = """
    --version
    user info --json
    project details --json
    cloud list --json
    vpc list --json
    service plans --cloud aws-us-east-1 --json
    service integration-types-list --json
    service list --json
    service get eu --json
    service create eu -t valkey --plan business-4 --cloud google-europe-west1 -c ip_filter=["10.0.0.0/8"]
    service create eu -t valkey --plan business-4 --cloud google-europe-west1
    service create ap -t valkey --plan nonsense --cloud google-europe-west1
    service backup-list eu --json
    service create us -t valkey --plan startup-4 --cloud aws-us-east-1 --read-replica-for eu
    service list --json
    service list us nobody --json
    service get us --json
    service integration-list us --json
    service tags update us --add-tag a=b --add-tag c=d
    service tags update us --remove-tag a
    service tags list us --json
    service tags list nobody --json
    service update us -c ip_filter=["10.0.0.0/8"]
    service update us -c valkey_maxmemory_policy=allkeys-lru -c ip_filter=["10.0.0.0/8","10.1.0.0/16"]
    service update us --enable-termination-protection
    service terminate us --force
    service update us --disable-termination-protection
    service update nobody --power-off
    service integration-delete nonsense
    service integration-delete {row}
    service integration-list us --json
    service update eu --power-off
    service get eu --json
    service update eu --power-on
    service terminate us --force
    service list --json
"""
UNEQUAL = {
    "notifications",
    "credit_card",
    "password",
    "service_uri",
    "valkey_password",
    "redis_password",
    "connection_info",
}
"""What avn adds, and what is made up anew each time."""
CHANCE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z|backup-[\dT]+")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if key not in UNEQUAL}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return CHANCE.sub("…", value) if isinstance(value, str) else value


def _seen(answer: Answer) -> tuple[Any, ...]:
    printed = _plain(json.loads(answer.stdout) if answer.stdout[:1] in ("[", "{") else answer.stdout.strip())
    return (answer.code, printed, answer.code and failure.read(answer))


def _talk(side: Side) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for line in TALK.strip().splitlines():
        row = next((one for one in side.platform.rows), "")
        words = [word.replace("{row}", row) for word in line.split()]
        found.append((line.strip(), *_seen(side.run(*words))))
    return [*found, *((method, _plain(path), _plain(body)) for method, path, body in side.sent())]


def test_avn_prints_and_sends_what_the_installed_one_does(installed: Installed) -> None:
    assert _talk(Simulated()) == _talk(installed)


CREATE = "service create eu -t valkey --plan business-4 --cloud google-europe-west1"
COMMANDS = {
    "GET": ("service get eu", "vpc list", "service update eu --power-on"),
    "POST": (CREATE,),
    "PUT": ("service update eu --power-on",),
    "PATCH": ("service tags update eu --add-tag a=b",),
    "DELETE": ("service terminate eu --force", "service integration-delete 1"),
}
STATUS = {
    400: "Invalid input",
    401: "Missing (expired) db token",
    403: "Not allowed for this token",
    404: "Service does not exist",
    409: "Service name is already in use",
    429: "The user has sent too many requests: Rate limit exceeded - try again in 3s",
    500: "Internal server error",
}
TROUBLES = [
    *(
        ("status", method, status, STATUS[status], 9)
        for method in COMMANDS
        for status in STATUS
        if method == "GET" or status > 404
    ),
    *(("cut", method, 500, "", 9) for method in ("GET", "PUT")),
    ("cut", "GET", 500, "", 2),
    ("half", "GET", 500, "", 9),
    ("status", "GET", 500, "Internal server error", 1),
]


def _failures(side: Side) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for trouble in TROUBLES:
        for command in COMMANDS[trouble[1]]:
            side.fail(*trouble)
            json_too = () if trouble[1] != "GET" or "update" in command else ("--json",)
            found.append((trouble, command, *_seen(side.run(*command.split(), *json_too))))
    return found


def test_what_fails_is_read_as_it_is_from_the_installed_avn(installed: Installed) -> None:
    simulated = Simulated()
    for side in (simulated, installed):
        side.fail("status", "NONE", 500, "", 0)
        side.run(*CREATE.split())
    assert _failures(simulated) == _failures(installed)
