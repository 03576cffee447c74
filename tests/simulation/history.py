"""A history: what there is, what operators type, and what goes wrong meanwhile, drawn from a seed by weights."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tests.simulation.avn import Fault, Rights
from tests.simulation.world import Application, Run, World

EU, US, AP = "google-europe-west1", "google-us-east1", "aws-us-east-1"


def _pair(world: World) -> None:
    world.create("eu", EU)
    world.advance(60)
    world.create("us", US, source="eu")
    world.advance(60)


def _two_replicas(world: World) -> None:
    _pair(world)
    world.create("ap", AP, source="eu")
    world.advance(60)


def _two_pairs(world: World) -> None:
    _pair(world)
    world.create("db", EU)
    world.advance(60)
    world.create("dc", US, source="db")
    world.advance(60)


def _fork(world: World) -> None:
    """A colleague's copy of the primary, from its backup: the same data, a history of its own."""
    _pair(world)
    world.create("eu-copy", US)
    server = world.fleet.servers["eu-copy"]
    server.data = {number: dict(keys) for number, keys in world.fleet.servers["eu"].data.items()}
    world.advance(60)


def _alone(world: World) -> None:
    world.create("eu", EU)
    world.advance(60)


def _long_ago(world: World) -> None:
    """A pair of which the replica was promoted by hand, long ago; the old primary is still there."""
    _pair(world)
    row = next(iter(world.platform.rows))
    world.platform.delete_integration(row)
    world.advance(3600)


def _drill_left(world: World) -> None:
    """A drill was killed behind the promotion of its replica, hours ago."""
    _drill_killed(world, "filter-close")


def _drill_s_replica_left(world: World) -> None:
    """A drill was killed before the promotion: its replica follows like any other."""
    _drill_killed(world, "last-known")


def _drill_s_service_used(world: World) -> None:
    """A drill was killed behind the promotion, and applications have found its service."""
    _drill_killed(world, "running")
    name = next(name for name in world.fleet.servers if "drill" in name)
    world.applications.append(Application(world, name, every=2.0))
    world.advance(60)


def _drill_killed(world: World, step: str) -> None:
    _pair(world)
    run = world.type("ann", *COMMANDS["drill"][1], "--json")
    world.kernel.run(world.kernel.now + 3600, over=lambda: step in run.steps or run.code is not None)
    world.kernel.kill(run)
    world.advance(2 * 3600)


SHAPES: dict[str, tuple[int, Callable[[World], None]]] = {
    "pair": (10, _pair),
    "two replicas": (4, _two_replicas),
    "two pairs": (3, _two_pairs),
    "fork": (2, _fork),
    "alone": (2, _alone),
    "promoted long ago": (1, _long_ago),
    "a drill was left": (3, _drill_left),
    "a drill's replica was left": (0, _drill_s_replica_left),
    "a drill's service is used": (0, _drill_s_service_used),
}

COMMANDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "switchover": (10, ("switchover", "eu", "us", "--yes")),
    "power-off": (2, ("switchover", "eu", "us", "--yes", "--old-primary", "power-off")),
    "another-replica": (2, ("switchover", "eu", "ap", "--yes")),
    "failover": (6, ("failover", "us", "--allow-data-loss", "--yes")),
    "unverified-failover": (1, ("failover", "us", "--allow-data-loss", "--no-verify", "--yes")),
    "enable": (4, ("enable", "eu", "us", "--primary-cloud", EU, "--replica-cloud", US)),
    "drill": (5, ("drill", "eu", "--replica-cloud", US, "--quiet-seconds", "1", "--yes")),
    "clean": (3, ("drill", "--clean", "--yes")),
    "evacuate": (3, ("evacuate", EU, "--yes")),
    "evacuate-auto": (3, ("evacuate", EU, "--auto", "--allow-data-loss", "--yes")),
    "evacuate-forced": (1, ("evacuate", EU, "--forced", "--allow-data-loss", "--yes")),
    "verify": (1, ("verify", "eu", "us", "--level", "values")),
    "status": (1, ("status",)),
    "fence": (1, ("fence", "eu", "--ttl", "60")),
    "unfence": (1, ("unfence", "eu")),
    "failover-to-another": (0, ("failover", "ap", "--allow-data-loss", "--yes")),
}
FIRST = (
    "switchover",
    "power-off",
    "another-replica",
    "failover",
    "unverified-failover",
    "enable",
    "drill",
    "clean",
    "evacuate",
    "evacuate-auto",
    "evacuate-forced",
    "verify",
)


class Event(NamedTuple):
    """``door``: how often the first command has waited for something when it happens; 0: at ``at`` seconds."""

    kind: str
    name: str
    door: int = 0
    at: float = 0.0
    who: str = ""
    draw: int = 0  # seeds what is drawn about it


@dataclass(frozen=True)
class Script:
    """Everything that happens in a history apart from the order of what happens at once, which its seed gives."""

    seed: int
    shape: str
    writers: bool
    first: str
    events: tuple[Event, ...]


def accident(weight: int) -> Callable[[Callable[["Accidents"], Any]], Callable[["Accidents"], Any]]:
    def marked(act: Callable[["Accidents"], Any]) -> Callable[["Accidents"], Any]:
        KINDS[act.__name__.replace("_", " ")] = (weight, act)
        return act

    return marked


KINDS: dict[str, tuple[int, Callable[["Accidents"], Any]]] = {}


class Accidents:
    """Each is done to a world at one moment. ``run``: the first command; ``draw``: what is left to chance."""

    def __init__(self, world: World, run: Run, draw: random.Random) -> None:
        self.world, self.run, self.draw = world, run, draw

    def _server(self, *names: str) -> str:
        there = [name for name in names if name in self.world.fleet.servers]
        chosen = self.draw.choice(there) if there else ""
        self.world.struck.add(chosen)
        return chosen

    def _fault(self, kind: str, method: str = ".*", *, most: int = 2, **more: Any) -> None:
        self.world.web.faults.append(Fault(kind, method, times=self.draw.randint(1, most), **more))

    def _heals(self, name: str, seconds: float) -> None:
        """After so many; 0: not by itself."""

        def heal() -> None:
            if name in self.world.fleet.servers:
                self.world.fleet.heal(name)

        if seconds:
            self.world.kernel.later(seconds, heal)

    # -- the API

    @accident(3)
    def an_error_before_the_effect(self) -> None:
        self._fault("status", most=6, status=self.draw.choice((500, 502, 503)))

    @accident(4)
    def an_error_after_the_effect(self) -> None:
        self._fault("status-after", "POST|PUT|PATCH|DELETE", status=self.draw.choice((500, 504)))

    @accident(4)
    def an_answer_lost(self) -> None:
        self._fault("cut-after", "POST|PUT|PATCH|DELETE")

    @accident(2)
    def a_connection_cut(self) -> None:
        self._fault("cut", most=5)

    @accident(2)
    def an_answer_that_hangs(self) -> None:
        self._fault(self.draw.choice(("hang", "hang-after")), "POST|PUT|PATCH|DELETE", most=1)

    @accident(3)
    def a_late_answer(self) -> None:
        self._fault("slow", "POST|PUT|PATCH|DELETE", most=1, seconds=self.draw.choice((20.0, 55.0, 90.0)))

    @accident(1)
    def half_an_answer(self) -> None:
        self._fault("half", "GET", most=3)

    @accident(2)
    def a_rate_limit(self) -> None:
        self._fault("status", most=8, status=429)

    @accident(2)
    def a_token_that_expires(self) -> None:
        self.world.web.rights[self.run.name] = Rights(expired=True)

    @accident(2)
    def a_right_taken_away(self) -> None:
        denied = self.draw.choice(
            ("PUT .*/service/", "PATCH .*/tags", "DELETE .*/service/", "DELETE .*/integration", "POST .*/service$")
        )
        self.world.web.rights[self.run.name] = Rights(denied=[denied])

    @accident(3)
    def reads_that_lag(self) -> None:
        self.world.web.lag = self.draw.choice((2.0, 8.0, 30.0))

    @accident(2)
    def a_slow_promotion(self) -> None:
        self.world.platform.options = replace(
            self.world.platform.options, promote_seconds=self.draw.choice((20.0, 90.0, 400.0))
        )

    @accident(1)
    def a_promotion_that_loses_the_data(self) -> None:
        self.world.fleet.promote_empty = True
        self.world.interfered = True  # its primary stays one, and another replica may take over

    # -- servers

    @accident(4)
    def the_primary_dies(self) -> None:
        if name := self._server("eu"):
            self.world.fleet.kill(name)
            self.world.platform.outage_began([name])

    @accident(3)
    def the_primary_hangs(self) -> None:
        if name := self._server("eu"):
            self.world.fleet.freeze(name)
            self._heals(name, self.draw.choice((0, 3, 12, 90)))

    @accident(2)
    def the_primary_is_cut_off(self) -> None:
        if name := self._server("eu"):
            self.world.fleet.isolate(name)
            self._heals(name, self.draw.choice((0, 10, 120)))

    @accident(2)
    def a_server_restarts(self) -> None:
        if name := self._server("eu", "us"):
            self.world.fleet.restart(name)

    @accident(2)
    def a_node_fails_over(self) -> None:
        if name := self._server("eu", "us"):
            self.world.fleet.fail_over_node(name, self.draw.choice((0, 0, 1, 3)) if name == "eu" else 0)
            self.world.excuse("eu")

    @accident(1)
    def the_primary_comes_back_empty(self) -> None:
        if name := self._server("eu"):
            self.world.fleet.restart(name, with_data=False)
            self.world.excuse(name)

    @accident(2)
    def the_replica_dies(self) -> None:
        if name := self._server("us"):
            self.world.fleet.kill(name)

    @accident(2)
    def the_replica_hangs(self) -> None:
        if name := self._server("us"):
            self.world.fleet.freeze(name)
            self._heals(name, self.draw.choice((0, 3, 30)))

    @accident(2)
    def the_link_is_cut(self) -> None:
        if name := self._server("us", "eu"):
            self.world.fleet.cut_replication(name)
            self._heals(name, self.draw.choice((0, 5, 60)))

    @accident(3)
    def the_replica_falls_behind(self) -> None:
        if name := self._server("us", "ap"):
            self.world.fleet.servers[name].lag = self.draw.choice((1.0, 8.0, 200.0))

    @accident(3)
    def the_replica_drops_commands(self) -> None:
        if name := self._server("us", "ap"):
            self.world.fleet.servers[name].drops = self.draw.choice((1, 3))

    @accident(1)
    def pausing_is_denied(self) -> None:
        if name := self._server("eu"):
            self.world.fleet.servers[name].no_pause = True

    @accident(2)
    def a_filter_without_an_answer(self) -> None:
        for server in self.world.fleet.servers.values():
            server.silent = True

    # -- the operator's own machine

    @accident(3)
    def ctrl_c(self) -> None:
        self._signal(signal.SIGINT)

    @accident(2)
    def ctrl_c_twice(self) -> None:
        self._signal(signal.SIGINT)
        self.world.kernel.later(self.draw.choice((0.05, 1.0, 5.0)), lambda: self._signal(signal.SIGINT))

    @accident(2)
    def sigterm(self) -> None:
        self._signal(signal.SIGTERM)

    @accident(4)
    def the_program_is_killed(self) -> None:
        self._signal(signal.SIGKILL)

    @accident(2)
    def the_machine_sleeps(self) -> None:
        self.run.suspended_until = self.world.kernel.now + self.draw.choice((5.0, 45.0, 400.0))

    @accident(2)
    def a_clock_jumps(self) -> None:
        self.run.wall += self.draw.choice((-7200.0, -30.0, 30.0, 7200.0))

    def _signal(self, number: int) -> None:
        self.world.kernel.signal(self.run, number)

    # -- colleagues

    @accident(3)
    def a_colleague_deletes_the_integration(self) -> None:
        rows = list(self.world.platform.rows.values())
        if rows:
            self.world.web.remember()
            row = self.draw.choice(rows)
            self.world.platform.delete_integration(row.id)
            self.world.promoted_by_others[row.dest] = self.world.kernel.now

    @accident(2)
    def a_colleague_terminates(self) -> None:
        self._terminate(self._server("us", "ap", "eu"))

    @accident(2)
    def a_colleague_makes_a_namesake(self) -> None:
        """Another service of the same name, in its place."""
        name = self._server("us", "ap", "eu")
        if name and self._terminate(name):
            self.world.kernel.later(self.draw.choice((1.0, 30.0)), lambda: self._make_anew(name))

    def _make_anew(self, name: str) -> None:
        if name not in self.world.platform.services:
            self.world.create(name, US)

    def _terminate(self, name: str) -> bool:
        if not name:
            return False
        self.world.web.remember()
        self.world.platform.services[name].protected = False
        self.world.interfered = True
        self.world.platform.delete(name)
        self.world.excuse(name)
        return True

    @accident(2)
    def a_colleague_opens_the_filter(self) -> None:
        name = self._server("eu", "us")
        if name:
            self.world.web.remember()
            self.world.platform.update(name, {"user_config": {"ip_filter": ["0.0.0.0/0"]}})
            self.world.opened.add(name)

    @accident(2)
    def a_colleague_strips_the_tags(self) -> None:
        if name := self._server(*self.world.fleet.servers):
            self.world.web.remember()
            self.world.platform.set_tags(name, {})
            self.world.interfered = True

    @accident(1)
    def a_colleague_powers_off(self) -> None:
        name = self._server("eu", "us")
        if name and self.world.platform.services[name].powered:
            self.world.web.remember()
            self.world.platform.update(name, {"powered": False, "termination_protection": False})
            self.world.excuse(name)

    @accident(2)
    def a_colleague_lifts_the_pause(self) -> None:
        if name := self._server("eu"):
            server = self.world.fleet.servers[name]
            server.paused_until = 0.0
            server.wake()

    @accident(2)
    def a_colleague_adds_a_replica(self) -> None:
        if "eu" in self.world.platform.services and "ap" not in self.world.platform.services:
            try:
                self.world.create("ap", AP, source="eu")
            except Exception:  # noqa: BLE001 (it has no backup yet, say)
                return

    @accident(2)
    def an_application_uses_the_drill_s_replica(self) -> None:
        """It has an address once it is built."""
        platform, servers = self.world.platform, self.world.fleet.servers
        drills = [name for name, one in platform.services.items() if "drill" in name and platform.is_built(one)]
        drills = [name for name in drills if name in servers]
        if drills:
            self.world.applications.append(Application(self.world, self.draw.choice(drills), every=0.3))


def _chosen(draw: random.Random, table: dict[str, tuple[int, Any]], among: Any = None) -> str:
    names = [name for name in table if among is None or name in among]
    return draw.choices(names, [table[name][0] for name in names])[0]


def draw(seed: int, only: frozenset[str] = frozenset()) -> Script:
    """The script of that seed. ``only``: commands, or verbs, that the first one may be."""
    dice = random.Random(seed)
    among = [name for name in FIRST if not only or {name, COMMANDS[name][1][0]} & only]
    first = _chosen(dice, COMMANDS, among)
    shape = "alone" if first == "enable" and dice.random() < 0.6 else _chosen(dice, SHAPES)
    if shape == "a drill was left":
        shape = random.Random(f"{seed}").choice([name for name in SHAPES if "drill" in name])
    if first == "another-replica":
        shape = "two replicas"
    events = []
    for _ in range(dice.choice((0, 1, 1, 2, 2, 3, 3, 4))):
        door = int(10 ** dice.uniform(0.3, 2.9)) if dice.random() < 0.85 else 0
        at = 0.0 if door else dice.uniform(0, 120)
        events.append(Event("accident", _chosen(dice, KINDS), door, at, draw=dice.getrandbits(32)))
    for _ in range(dice.choice((0, 0, 0, 1, 1, 2))):
        door = int(10 ** dice.uniform(0.3, 2.9)) if dice.random() < 0.7 else 0
        events.append(
            Event(
                "command",
                _chosen(dice, COMMANDS),
                door,
                0.0 if door else dice.uniform(0, 300),
                dice.choice(("ann", "bob", "bob")),
            )
        )
    apart = random.Random(f"{seed} on another machine")  # so that other histories stay as they are
    if shape == "two replicas" and apart.random() < 0.5:
        name, door = apart.choice(("failover-to-another", "another-replica")), int(10 ** apart.uniform(0.3, 2.4))
        events.append(Event("command", name, door, who="bob"))
    return Script(seed, shape, dice.random() < 0.8, first, tuple(events))
