"""The API as each token sees it, with all that goes wrong on the way, and what avn prints of its answers."""

import json
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ccr_avn.process import Answer
from ccr_avn.sandbox.api import Api
from ccr_avn.sandbox.platform import Platform
from ccr_avn.sandbox.records import ApiError, checked
from ccr_avn.sandbox.web import routes_of
from tests.simulation.kernel import Kernel, Killed, Owner

VERSION = "4.18.0"
AVN = "/simulated/bin/avn"
HELP = "usage: avn service create [--read-replica-for SERVICE]\n"
PROJECT = "simulated"
ROOT = f"/v1/project/{PROJECT}"


class NoAnswer(Exception):
    """The connection broke before an answer came."""


@dataclass
class Fault:
    """The next so many requests that match go wrong. ``kind``: status, cut, hang, half, each ``-after`` its effect, or slow."""

    kind: str
    method: str = ".*"
    path: str = ".*"
    times: int = 1
    status: int = 500
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class Request:
    at: float
    who: str
    run: int  # of the command by whom
    method: str
    path: str
    body: Any
    status: int  # what the API did, whatever arrived: 0: it never got there


@dataclass
class Rights:
    """Of one token: what it may not do, as patterns of ``METHOD path``."""

    denied: list[str] = field(default_factory=list)
    expired: bool = False


class Web:
    def __init__(self, kernel: Kernel, platform: Platform) -> None:
        self._kernel, self._platform = kernel, platform
        self._routes = list(routes_of(Api(platform, "")))
        self.faults: list[Fault] = []
        self.rights: dict[str, Rights] = {}
        self.log: list[Request] = []
        self.lag = 0.0  # seconds by which reads lag behind
        self._shown: list[tuple[float, dict[str, Any]]] = []  # until when the services looked like that
        self.watch: Callable[[str, str], Callable[[], None]] = lambda *_: self._nothing

    def request(self, who: str, run: int, method: str, path: str, body: Any = None) -> Any:
        """Raises: ApiError; NoAnswer."""
        draw = self._kernel.random
        self._kernel.pause(draw.uniform(0.02, 0.15))
        fault = self._fault(method, path)
        if fault and fault.kind in ("status", "cut", "hang", "slow"):
            self._suffer(fault)
        status, answer = self._act(who, method, path, body)
        self.log.append(Request(self._kernel.now, who, run, method, path, body, status))
        if fault and fault.kind.endswith("-after"):
            self._suffer(fault)
        self._kernel.pause(draw.uniform(0.02, 0.15))
        if status != 200:
            raise ApiError(status, answer)
        if fault and fault.kind == "half":
            raise NoAnswer("half")
        return answer

    def _nothing(self) -> None:
        """What is done after a request that nobody watches."""

    def services(self) -> dict[str, Any]:
        """As they are now."""
        found: Any = self._routed("GET", f"/v1/project/{PROJECT}/service", None)
        return {one["service_name"]: one for one in json.loads(json.dumps(found["services"]))}

    def remember(self) -> None:
        """Before something changes: what reads that lag go on to show."""
        if self.lag:
            self._shown.append((self._kernel.now, self.services()))

    def _fault(self, method: str, path: str) -> Fault | None:
        for one in self.faults:
            if one.times and re.fullmatch(one.method, method) and re.search(one.path, path):
                one.times -= 1
                return one
        return None

    def _suffer(self, fault: Fault) -> None:
        if fault.kind == "slow":
            self._kernel.pause(fault.seconds)
        elif fault.kind.startswith("hang"):
            self._kernel.pause(7200.0)
        elif fault.kind.startswith("status"):
            limited = fault.status == 429 and "Rate limit exceeded - try again in 3s"
            raise ApiError(fault.status, fault.message or limited or "Internal server error")
        else:
            raise NoAnswer("cut")

    def _act(self, who: str, method: str, path: str, body: Any) -> tuple[int, Any]:
        rights = self.rights.get(who, Rights())
        if rights.expired:
            return 401, "Missing (expired) db token"
        if any(re.search(pattern, f"{method} {path}") for pattern in rights.denied):
            return 403, "Not allowed for this token"
        try:
            if method == "GET" and self.lag and (found := self._stale(path)) is not None:
                return 200, found
            after = self._nothing
            if method != "GET":
                self.remember()
                after = self.watch(method, path)
            answer = json.loads(json.dumps(self._routed(method, path, body)))
            after()
            return 200, answer
        except ApiError as refusal:
            return refusal.status, refusal.message

    def _routed(self, method: str, path: str, body: Any) -> Any:
        for route in self._routes:
            if route.method == method and (found := route.path.fullmatch(path)):
                words = {key: word for key, word in found.groupdict().items() if key not in ("project", "account")}
                if route.body is None:
                    return route.act(**words)
                return route.act(checked(json.dumps(body).encode(), route.body), **words)
        raise ApiError(404, "No such thing here")

    def _stale(self, path: str) -> Any:
        """What a read that lags shows; None: as it is now."""
        when = self._kernel.now - self.lag
        rows = next((rows for until, rows in self._shown if until > when), None)
        found = re.fullmatch(rf"/v1/project/{PROJECT}/service(?:/([^/]+)(/\w+)?)?", path)
        if rows is None or found is None:
            return None
        if found[1] is None:
            return {"services": list(rows.values())}
        if (row := rows.get(found[1])) is None:
            raise ApiError(404, "Service does not exist")
        part = {"/integration": "service_integrations", "/tags": "tags", "/backups": "backups"}.get(found[2] or "")
        return {part: row[part]} if part else {"service": row} if not found[2] else None


class Avn:
    """What stands in the place of `process.run`: each command is a process of its own, which outlives one that is killed."""

    def __init__(self, kernel: Kernel, web: Web) -> None:
        self._kernel, self._web = kernel, web
        self.ran: list[tuple[float, str, tuple[str, ...]]] = []

    def run(self, argv: tuple[str, ...], *, deadline: float, environment: Any = None) -> Answer:
        kernel, boss = self._kernel, self._kernel.owner
        began, ended = kernel.now, list[tuple[int, str, str]]()
        child = Owner(f"avn of {boss.name}")
        child.boss = boss
        words = tuple(word for word in argv[1:] if word != "--json")
        if "--project" in words:
            at = words.index("--project")
            words = words[:at] + words[at + 2 :]
        self.ran.append((kernel.now, boss.name, words))

        def work() -> None:
            kernel.pause(kernel.random.uniform(0.1, 0.3))
            ended.append(self._outcome(boss, words))

        task = kernel.spawn(child, work, "avn")
        try:
            finished = kernel.wait(lambda: task.over, task.watchers, began + deadline)
        except Killed:
            raise
        except BaseException:
            child.alive = False
            raise
        seconds = kernel.now - began
        if not finished or not ended:
            child.alive = False
            return Answer(argv=argv, code=-signal.SIGKILL, stdout="", stderr="", seconds=seconds, expired=not finished)
        code, stdout, stderr = ended[0]
        return Answer(argv=argv, code=code, stdout=stdout, stderr=stderr, seconds=seconds)

    def _outcome(self, boss: Owner, words: tuple[str, ...]) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        if words == ("--version",):
            return 0, f"aiven-client {VERSION}\n", ""
        if words[:3] == ("service", "create", "--help"):
            return 0, HELP, ""

        def ask(method: str, path: str, body: Any = None) -> Any:
            left = 3 if method == "GET" else 1  # times that it asks where the connection breaks
            while True:
                left -= 1
                try:
                    return self._web.request(boss.name, getattr(boss, "run", 0), method, path, body)
                except NoAnswer as broken:
                    if str(broken) == "half" or not left:
                        raise
                    self._kernel.pause(0.2)

        try:
            printed = spoken(words, ask)
            return 0, printed if isinstance(printed, str) else json.dumps(printed, indent=4), ""
        except NoAnswer as broken:
            return 1, "", CRASHED if str(broken) == "half" else f"ERROR\tcommand failed: {CUT}\n"
        except UserError as error:
            said, *printed = error.args
            return 1, "".join(printed), f"ERROR\tcommand failed: UserError: {said}\n"
        except ApiError as refusal:
            printed = f"<Response [{refusal.status}]>\n" if words[:2] == ("service", "create") else ""
            return 1, printed, f"ERROR\tcommand failed: Error: {refusal.message} (status {refusal.status})\n"


class UserError(Exception):
    """How avn words what the API refused, in some commands: without its status; and what it prints before."""


CUT = "ConnectionError: ('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))"
CRASHED = """Traceback (most recent call last):
requests.exceptions.JSONDecodeError: Unterminated string starting at: line 1 column 16 (char 15)
"""


ASKS = {
    "service list": ("/service", "services"),
    "service get": ("/service/{0}", "service"),
    "service backup-list": ("/service/{0}/backups", "backups"),
    "service integration-list": ("/service/{0}/integration", "service_integrations"),
    "service integration-types-list": ("/integration_types", "integration_types"),
    "service tags list": ("/service/{0}/tags", "tags"),
    "service plans": ("/service_types", "service_types"),
    "cloud list": ("/clouds", "clouds"),
    "vpc list": ("/vpcs", "vpcs"),
    "project details": ("", "project"),
}
"""Of each command that only asks: whom in the project, and which part of the answer it prints."""


def spoken(words: tuple[str, ...], ask: Callable[..., Any]) -> Any:
    """What avn prints: as text, or as data that it prints as JSON. Raises: ApiError; NoAnswer."""
    size = 3 if words[1] == "tags" else 2
    command, names = " ".join(words[:size]), words[size:]
    if command == "user info":
        return [ask("GET", "/v1/me")["user"]]
    if command in ASKS:
        path, part = ASKS[command]
        try:
            found = ask("GET", ROOT + path.format(*names))[part]
        except ApiError as refusal:
            if command == "vpc list":
                body = json.dumps(refusal.envelope())
                raise UserError(f"Project VPC listing for '{PROJECT}' failed", body) from None
            raise
        return SHAPED[command](found, names) if command in SHAPED else found
    CHANGES[command](ask, *names)
    return "tags updated" if command == "service tags update" else ""


SHAPED: dict[str, Callable[[Any, tuple[str, ...]], Any]] = {
    "service list": lambda rows, names: [one for one in rows if not names or one["service_name"] in names],
    "service tags list": lambda tags, _: [{"key": key, "value": value} for key, value in tags.items()],
    "project details": lambda one, _: [one],
    "service integration-list": lambda rows, _: [
        {
            **one,
            "service_integration_id": one["service_integration_id"] or "(integration not enabled)",
            "source": one["source_service"],
            "dest": one["dest_service"],
        }
        for one in rows
    ],
}
"""What avn makes of the answer before it prints it."""


def _change_tags(ask: Callable[..., Any], name: str, *more: str) -> None:
    pairs = list(zip(more[::2], more[1::2], strict=True))
    added = dict(word.split("=", 1) for flag, word in pairs if flag == "--add-tag")
    gone = {word: None for flag, word in pairs if flag == "--remove-tag"}
    ask("PATCH", f"{ROOT}/service/{name}/tags", {"tags": {**added, **gone}})


def _create(ask: Callable[..., Any], name: str, *more: str) -> None:
    body: dict[str, Any] = {"service_name": name, **DEFAULTS, **_options(more)}
    if "cloud" in body:
        ask("GET", f"{ROOT}/vpcs")
    ask("GET", f"{ROOT}/service-types/{body['service_type']}")
    ask("POST", f"{ROOT}/service", body)


def _update(ask: Callable[..., Any], name: str, *more: str) -> None:
    service = ask("GET", f"{ROOT}/service/{name}")["service"]
    ask("GET", f"{ROOT}/service-types/{service['service_type']}")
    try:
        ask("PUT", f"{ROOT}/service/{name}", {"plan": service["plan"], "user_config": {}, **_options(more)})
    except ApiError as refusal:
        raise UserError(f"Service '{PROJECT}/{name}' update failed: {refusal.message}") from None


DEFAULTS = {"user_config": {}, "service_integrations": [], "static_ips": [], "termination_protection": False}
FLAGS: dict[str, dict[str, Any]] = {
    "--power-off": {"powered": False},
    "--power-on": {"powered": True},
    "--enable-termination-protection": {"termination_protection": True},
    "--disable-termination-protection": {"termination_protection": False},
}
WORDS = {"-t": "service_type", "--plan": "plan", "--cloud": "cloud"}


def _options(more: tuple[str, ...]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    left = list(more)
    while left:
        flag = left.pop(0)
        if flag in FLAGS:
            body |= FLAGS[flag]
        elif flag in WORDS:
            body[WORDS[flag]] = left.pop(0)
        elif flag == "--read-replica-for":
            body["service_integrations"] = [{"integration_type": "read_replica", "source_service": left.pop(0)}]
        elif flag == "-c":
            key, _, value = left.pop(0).partition("=")
            body.setdefault("user_config", {})[key] = _value(value)
        else:
            raise AssertionError(f"the simulated avn does not know {flag}")
    return body


CHANGES: dict[str, Callable[..., None]] = {
    "service create": _create,
    "service update": _update,
    "service tags update": _change_tags,
    "service integration-delete": lambda ask, number: ask("DELETE", f"{ROOT}/integration/{number}"),
    "service terminate": lambda ask, name, _: ask("DELETE", f"{ROOT}/service/{name}"),
}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
