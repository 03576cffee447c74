"""The fence's own reckoning, with injected time: when it is sure to hold, what ends it early, and what it leaves behind."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from valkey.exceptions import NoPermissionError
from valkey.exceptions import TimeoutError as NoAnswer

from ccr_avn import clock
from ccr_avn.aiven import models
from ccr_avn.errors import CcrError, Interrupted, Refused, Unreachable
from ccr_avn.procedures import fencing
from ccr_avn.procedures.seen import FENCE, Fenced, Seen
from ccr_avn.procedures.switchover import Switchover
from ccr_avn.valkey import fence as fences
from ccr_avn.valkey.connect import Endpoint
from ccr_avn.valkey.fence import ENDING, NAME, Fence
from tests.support.odd_server import INFO

UNPAUSED = {"paused_actions": "none", "paused_timeout_milliseconds": "0"}


class Server:
    """A server's pause, by its own clock, which can be set (``ahead``); our clock moves on by ``takes`` with each trip."""

    def __init__(self) -> None:
        self.now, self.takes, self.ahead = 100.0, 0.01, 0.0
        self.run_id = "a" * 40
        self.end = 0.0  # of the pause, by the server's clock
        self.names: list[list[str]] = []  # who is there, at each look
        self.sent: list[str] = []
        self.fails: dict[str, BaseException] = {}  # what is raised by the trip behind this word
        self._batch: list[object] = []
        self.tells_pauses = True

    def pipeline(self, *, transaction: bool) -> "Server":
        assert not transaction
        self._batch = []
        return self

    def client_pause(self, *, timeout: int, all: bool) -> None:  # noqa: A002 (valkey-py's own name)
        assert not all
        self.sent.append(f"pause {timeout}")
        self.end = max(self.end, self.now + self.ahead + timeout / 1000)
        self._batch.append(True)

    def client_unpause(self) -> bool:
        self.sent.append("unpause")
        self.end = 0.0
        return True

    def client_setname(self, name: str) -> bool:
        self.sent.append(f"called {name}")
        return True

    def client_list(self, _type: str = "") -> list[dict[str, str]]:
        found = [{"name": name} for name in (self.names.pop(0) if self.names else ["app"])]
        self._batch.append(found)
        return found

    def execute_command(self, *words: str) -> bytes:
        left = max(0.0, self.end - self.now - self.ahead)
        paused = {"paused_actions": "write", "paused_timeout_milliseconds": str(int(left * 1000))}
        shown = (paused if left else UNPAUSED) if self.tells_pauses else {}
        told = {**INFO, "run_id": self.run_id, **shown}
        answer = "".join(f"{name}:{value}\r\n" for name, value in told.items()).encode()
        self.sent.append(words[0])
        self._batch.append(answer)
        return answer

    def execute(self, *, raise_on_error: bool) -> list[object]:
        assert not raise_on_error
        self.now += self.takes
        answers, self._batch = self._batch, []
        for word, failure in self.fails.items():
            if self.sent[-1].startswith(word):
                raise failure
        return answers

    def close(self) -> None:
        self.sent.append("close")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    monkeypatch.setattr(fences, "connect", lambda *_, **__: made)
    monkeypatch.setattr(fences, "Repeated", Renewer)
    with clock.replaced_by(ServersClock(made)):
        yield made


class Renewer:
    """Repeats nothing by itself, and has no way to wait for it."""

    def __init__(self, work: Callable[[], None], pause: Callable[[], float], name: str) -> None:
        self.work, self.pause, self.stopped = work, pause, False

    def stop(self) -> None:
        self.stopped = True


class ServersClock(clock.Clock):
    """Moves on with the server, and by a second for each sleep."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def now(self) -> float:
        return 1.7e9 + self.server.now

    def since_boot(self) -> float:
        return self.server.now

    def sleep(self, seconds: float) -> None:
        self.server.now += 1


def new_fence(server: Server, ttl: float = 30) -> Fence:
    where = Endpoint(service="eu", uri="redis://h", timeout=0.05)
    return Fence(where, "run", ttl)


@pytest.fixture
def fence(server: Server) -> Iterator[Fence]:
    made = new_fence(server)
    made.place()
    yield made
    made.close()


def test_a_fence_holds_for_its_time_from_when_the_pause_was_sent(fence: Fence, server: Server) -> None:
    assert fence.placed_at == 100
    server.now = 129.9
    assert fence.holds()
    server.now = 130
    assert not fence.holds()


def test_a_renewal_that_comes_too_late_does_not_mend_it(fence: Fence, server: Server) -> None:
    server.tells_pauses = False
    server.now, server.takes = 129.0, 0.5
    fence.lengthen(30)
    assert fence.holds()
    server.now, server.takes = 158.0, 2.0
    fence.lengthen(30)
    assert not fence.holds(), "the server may have got it after the last pause had ended"


def test_a_renewal_by_another_process_breaks_it(fence: Fence, server: Server) -> None:
    server.run_id = "f" * 40
    fence.lengthen(600)
    assert not fence.holds()


@pytest.mark.parametrize("look", [lambda fence: fence.lengthen(30), lambda fence: fence.side()])
def test_a_server_whose_clock_is_set_forward_has_ended_the_pause(
    fence: Fence, server: Server, look: Callable[[Fence], Any]
) -> None:
    server.now += 1
    server.ahead = 45.0
    look(fence)
    assert not fence.holds(), "from then until the renewal writes were let through"
    fence.place()
    assert not fence.holds(), "whoever set it, or lifted the pause, may have wanted to"


def test_a_clock_that_is_set_forward_by_less_is_made_up_for(fence: Fence, server: Server) -> None:
    server.now += 1
    server.ahead = 20.0
    fence.lengthen(30)
    server.now += 25
    fence.lengthen(30)
    assert fence.holds()
    assert server.end - server.now - server.ahead == pytest.approx(30, abs=0.1)


def test_it_is_looked_at_and_renewed_each_second(fence: Fence, server: Server) -> None:
    server.sent.clear()
    fence.lengthen(600)
    renewer: Any = fence._renewer
    renewer.work()
    assert server.sent == ["INFO", "pause 600000"] * 2
    assert renewer.pause() <= 1.0
    assert not renewer.stopped
    fence.close()
    assert renewer.stopped


def test_it_pauses_again_until_nobody_is_un_pausing(server: Server) -> None:
    server.names = [[], [f"{ENDING}x", "app"], [f"{ENDING}x"], ["app"]]
    made = new_fence(server)
    made.endpoint = Endpoint(service="eu", uri="redis://h", timeout=10)
    made.place()
    assert server.sent == ["INFO", "pause 30000", "pause 30000"] * 3
    assert made.holds()
    made.close()


def test_what_was_sent_without_an_answer_is_reckoned_with(fence: Fence, server: Server) -> None:
    """The server was told 600 s: that the answer is lost does not make it shorter."""
    server.fails["pause 600000"] = NoAnswer("no answer")
    with pytest.raises(Unreachable):
        fence.lengthen(600)
    assert fence.ttl == 30
    assert fence.paused_until() - clock.now() == pytest.approx(600, abs=1)
    server.now = 140
    assert not fence.holds(), "that it reached the server is not certain"


def test_placing_it_anew_waits_for_no_thread_of_its_own(fence: Fence, server: Server) -> None:
    server.names = [[f"{ENDING}other"]] * 100
    with pytest.raises(Refused, match="does not finish"):
        fence.place()
    assert fence._renewer is not None
    assert fence._renewer.stopped, "and its renewer is not waited for: it may wait for the lock that is held here"  # type: ignore[attr-defined]
    assert server.sent[-2:] == ["called ccr-avn:unfence:run", "close"] or "unpause" in server.sent
    assert server.end == 0.0, "writes go on"


def test_a_renewer_that_can_not_start_leaves_no_pause(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(fences, "connect", lambda *_, **__: server)

    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", full)
    with pytest.raises(CcrError, match="thread"):
        new_fence(server).place()
    assert server.end == 0.0


@pytest.mark.parametrize("failure", [NoPermissionError("no info"), Interrupted(2), NoAnswer("no answer")])
def test_whatever_ends_its_placing_nothing_is_held_back(server: Server, failure: BaseException) -> None:
    server.fails["pause"] = failure
    with pytest.raises((CcrError, Interrupted)):
        new_fence(server).place()
    assert server.end == 0.0


def test_a_release_ends_it_once(fence: Fence, server: Server) -> None:
    assert fence.release() == ()
    assert server.end == 0.0
    assert fence.paused_until() <= clock.now()
    server.sent.clear()
    assert fence.release() == ()
    assert "unpause" not in server.sent, "by now it may be somebody else's"


def test_a_release_names_the_fences_that_go_on(fence: Fence, server: Server) -> None:
    """This one was lost meanwhile, so another run could place its own. What only looked is gone at once."""
    server.names = [["app", f"{NAME}run", f"{NAME}other"]] * 9
    assert fence.release() == (f"{NAME}other",)
    assert "unpause" not in server.sent


def test_a_release_is_not_kept_from_it_by_a_run_that_gives_up(fence: Fence, server: Server) -> None:
    server.names = [["app", f"{NAME}other"]]
    assert fence.release() == ()
    assert server.end == 0.0


def test_who_finds_another_fence_pauses_nothing(server: Server) -> None:
    server.names = [["app", f"{NAME}run", f"{NAME}other"]] * 9
    with pytest.raises(Refused, match="another run holds the write pause on eu: other"):
        new_fence(server).place()
    assert not [one for one in server.sent if one.startswith(("pause", "unpause"))]


WANT = Switchover(primary="eu", replica="us")


def test_a_fence_is_known_before_it_is_placed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal at the worst moment: it is placed, and nobody has got it back yet."""
    monkeypatch.setattr(fencing, "endpoint", lambda *_: Endpoint(service="eu", uri="redis://h"))

    class Interrupting(Fence):
        def place(self) -> None:
            super().place()
            raise Interrupted(2)

    monkeypatch.setattr(fencing, "Fence", Interrupting)
    seen = Seen()
    seen.checked["eu"] = models.service(
        json.dumps({"service_name": "eu", "service_type": "valkey", "state": "RUNNING"})
    )
    with pytest.raises(Interrupted):
        fencing._pause_writes(WANT, seen)
    assert server.end > 0
    assert fencing._unfence(WANT, seen) == "writes on eu resumed"
    assert server.end == 0.0


def test_a_fence_that_can_not_be_lifted_is_not_called_undone(server: Server, fence: Fence) -> None:
    seen, kept = Seen(), Fenced(fence=fence, kept=None, target=None)
    seen.keep(FENCE, kept)
    server.names = [[f"{NAME}other"]] * 9
    with pytest.raises(Refused, match="writes on eu are still paused") as caught:
        fencing._unfence(WANT, seen)
    assert "another run" in caught.value.detail
    assert "ccr-avn unfence eu" in caught.value.hint


def test_who_is_held_back(fence: Fence, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = [("app", "b", "set"), ("app", "b", "xread"), ("app", "N", "get"), ("", "xb", "exec")]
    found = [{"name": name, "addr": "1.2.3.4:5", "flags": flag, "cmd": command} for name, flag, command in flags]
    monkeypatch.setattr(server, "client_list", lambda: found)
    assert fence.writers() == ("app at 1.2.3.4:5 (set)", "unnamed at 1.2.3.4:5 (exec)")


def test_a_fence_that_was_never_placed() -> None:
    made = Fence(Endpoint(service="eu", uri="redis://h"), "run", 30)
    assert not made.holds()
    assert made.release() == ()
    with pytest.raises(RuntimeError):
        made.side()
