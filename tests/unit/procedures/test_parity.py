"""In what a new primary would differ from the old one: every difference has its values and what makes them equal."""

import json
import shlex
from typing import Any

import pytest

from ccr_avn.aiven import models
from ccr_avn.aiven.avn import Project
from ccr_avn.plan.model import Probe
from ccr_avn.procedures.gates import parity, settings
from ccr_avn.procedures.gates.parity import Difference
from ccr_avn.procedures.setting import Setting
from ccr_avn.procedures.steps import compare_sides
from ccr_avn.valkey.server_facts import PairFacts, ServerFacts
from tests.support.avn_parser import read_by_avn
from tests.support.factories import fact, row, seen_of, side

P = Project("p")
SECRET = "AVNS_never-shown"


def service(name: str, **more: Any) -> models.Service:
    return fact(name, row("eu", "us"), **{"node_count": None, **more})


def user(name: str, kind: str = "normal", password: str | None = None, **rights: list[str]) -> dict[str, Any]:
    access = {f"valkey_acl_{key}": words for key, words in rights.items()}
    return {"username": name, "type": kind, "password": password, "access_control": access}


def plane(
    libraries: dict[str, str] | None = None, ahead: float = 0.0, modules: dict[str, int] | None = None, **more: Any
) -> ServerFacts:
    uncertain = more.pop("uncertain", 0.01)
    return ServerFacts(side=side(**more), modules=modules or {}, libraries=libraries, ahead=ahead, uncertain=uncertain)


def of_services(old: dict[str, Any], new: dict[str, Any]) -> tuple[Difference, ...]:
    return parity.differences(P, service("eu", **old), service("us", **new))


def of_servers(old: ServerFacts, new: ServerFacts) -> tuple[Difference, ...]:
    return parity.differences(P, service("eu"), service("us"), PairFacts(primary=old, replica=new))


SET_RIGHTS = "avn service user-set-access-control us --username app"
UPDATE = "avn service update us --project p"
CREATE = "avn service integration-create"
DESCRIBED = {"network": "10.0.0.0/8", "description": None}
OPEN = ["0.0.0.0/0", "::/0"]
DUE = {"updates": [{"description": "new kernel", "deadline": "2026-12-01"}]}

SHOWN: list[tuple[str, Any, Any, str]] = [
    (
        "users",
        [user("app", keys=["a*"], categories=["+@read"])],
        [user("app", keys=["a*"], categories=["+@all", "-@write"])],
        (
            "user app: eu has keys a*, categories +@read, us has keys a*, categories +@all -@write"
            f" → {SET_RIGHTS} '--valkey-acl-keys=a*' --valkey-acl-categories=+@read --project p"
        ),
    ),
    (
        "users",
        [user("app")],
        [user("app", keys=["a*"])],
        (
            f"user app: eu has no limits, us has keys a* → {SET_RIGHTS} '--valkey-acl-keys=*' --valkey-acl-categories=+@all"
            " '--valkey-acl-channels=*' --project p"
        ),
    ),
    ("users", [user("app")], [], "users: those of us are not visible to this token → "),
    (
        "users",
        [user("app", categories=["-@all", "+@read"]), user("default")],
        [user("default")],
        (
            "user app: only eu has it, with categories -@all +@read"
            " → avn service user-create us --username app '--valkey-acl-categories=-@all +@read' --project p"
        ),
    ),
    (
        "users",
        [user("d")],
        [user("d"), user("x")],
        "user x: only us has it → avn service user-delete us --username x --project p",
    ),
    (
        "users",
        [user("app", password=SECRET)],
        [user("app", password="another")],
        (
            "user app: the passwords differ (not shown)"
            " → give the application the password from avn service user-get us --username app --project p"
        ),
    ),
    (
        "user_config",
        None,
        {"valkey_number_of_databases": 16},
        f"valkey_number_of_databases: eu has unset, us has 16 → {UPDATE} --remove-option valkey_number_of_databases",
    ),
    (
        "user_config",
        {"public_access": {"valkey": True}},
        None,
        f"public_access.valkey: eu has true, us has unset → {UPDATE} -c public_access.valkey=true",
    ),
    (
        "user_config",
        {"ip_filter": [DESCRIBED]},
        {"ip_filter": OPEN},
        (
            "ip_filter: eu has 10.0.0.0/8, us has 0.0.0.0/0, ::/0"
            f""" → {UPDATE} -c 'ip_filter=[{{"network": "10.0.0.0/8", "description": None}}]'"""
        ),
    ),
    ("node_count", 2, 1, "plan: eu has startup-4 (2 nodes), us has startup-4 (1 node) → "),
    (
        "plan",
        "business-4",
        None,
        f"plan: eu has business-4, us has startup-4 → once promoted: {UPDATE} --plan business-4",
    ),
    ("project_vpc_id", "v", None, "VPC: eu is in v, us is in none: make sure that applications have a route to it → "),
    ("service_type", "redis", None, "type: eu is redis, us is valkey: their settings have different names → "),
    (
        "service_integrations",
        [row("eu", "us"), row("eu", "board", integration_type="metrics")],
        None,
        f"integration metrics to board: eu has it, us does not → {CREATE} -t metrics -s us -d board --project p",
    ),
    (
        "service_integrations",
        [row("eu", "us"), row("eu", None, integration_type="datadog", dest_endpoint_id="e-1")],
        [row("eu", "us"), row("us", None, integration_type="datadog", dest_endpoint_id="e-2")],
        f"integration datadog to endpoint e-1: eu has it, us does not → {CREATE} -t datadog -s us -D e-1 --project p",
    ),
    (
        "service_integrations",
        [row("eu", "us"), row("eu", "asia")],
        None,
        (
            "asia replicates eu too, and continues to: it does not receive what is written to us"
            " → create one of us: ccr-avn enable us NAME --replica-cloud CLOUD --project p; then terminate asia"
        ),
    ),
    (
        "maintenance",
        None,
        DUE,
        (
            "maintenance is pending on us and will restart its server: new kernel until 2026-12-01"
            " → avn service maintenance-start us --project p"
        ),
    ),
]
"""A field of eu and of us, None where it is as ever; what is told of the difference → what makes them equal."""


@pytest.mark.parametrize(("field", "old", "new", "told"), SHOWN)
def test_a_difference_is_told_with_its_values_and_what_makes_them_equal(
    field: str, old: Any, new: Any, told: str
) -> None:
    [found] = of_services(*({} if value is None else {field: value} for value in (old, new)))
    assert f"{found.text} → {found.fix}" == told
    assert json.dumps(found.as_dict())


def test_what_is_over_is_no_risk_that_remains() -> None:
    old = {"plan": "business-4", "maintenance": DUE, "user_config": {"valkey_timeout": 1}}
    left = parity.risks(of_services(old, {"maintenance": DUE}))
    assert [one["what"].split()[0] for one in left] == ["valkey_timeout:", "maintenance"]
    assert "pending on us" in left[1]["what"]
    assert all(one["fix"].startswith("avn service") for one in left)


def test_avns_own_parser_accepts_what_is_printed() -> None:
    commands = {f"avn service{told.rpartition('avn service')[2]}" for *_, told in SHOWN if "avn service" in told}
    assert len(commands) > 10
    for command in sorted(commands):
        read_by_avn(shlex.split(command)[1:])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"user_config": {"valkey_timeout": 300, "valkey_ssl": True}}, {}),
        ({"user_config": {"ip_filter": OPEN}}, {}),
        ({"user_config": {"ip_filter": ["10.0.0.1/32", "::/0"]}}, {"user_config": {"ip_filter": ["::/0", "10.0.0.1"]}}),
        (
            {"user_config": {"ip_filter": [{"network": "10.0.0.0/8", "description": "office"}]}},
            {"user_config": {"ip_filter": ["10.0.0.0/8"]}},
        ),
        ({"user_config": {"ip_filter": [settings.NOBODY]}}, {}),
        ({"user_config": {"valkey_version": "9.1", "recovery_basebackup_name": "b", "backup_hour": None}}, {}),
        (
            {"users": [user("default", "primary", "one"), user("a", keys=["x", "y"], channels=[])]},
            {"users": [user("default", "primary", "two"), user("a", keys=["y", "x"])]},
        ),
        ({"users": [user("a", password="<redacted>")]}, {"users": [user("a", password="<redacted>")]}),
        (
            {"service_integrations": [row("eu", "us"), row("eu", "logs", integration_type="logs")]},
            {"service_integrations": [row("eu", "us"), row("us", "logs", integration_type="logs")]},
        ),
        ({"service_integrations": [row("eu", "us"), row("eu", None, integration_type="metrics", enabled=False)]}, {}),
        ({"maintenance": {"updates": []}}, {"maintenance": None}),
    ],
)
def test_what_means_the_same_is_no_difference(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert of_services(old, new) == ()


def test_a_secret_is_told_to_nobody() -> None:
    old = {"user_config": {"migration": {"host": "h", "password": SECRET}, "some_token": SECRET}}
    old["users"] = [user("app", password=SECRET)]  # type: ignore[assignment]
    found = of_services(old, {"users": [user("app", password="another")]})
    assert len(found) == 4
    assert SECRET not in json.dumps([one.as_dict() for one in found])
    assert SECRET not in str(parity.judge_differences(found, compared=""))


def test_a_long_filter_makes_no_command_that_no_shell_takes() -> None:
    objects = [{"network": f"10.0.{n % 250}.{n // 250}/32", "description": "x" * 90} for n in range(100)]
    words = settings.changes("ip_filter", objects)
    assert len(words[1]) < 4000
    assert "10.0.99.0/32" in words[1]
    assert settings.changes("ip_filter", [f"10.{n % 250}.{n // 250}.0/24" for n in range(8000)]) == ()
    assert len(settings.shown("ip_filter", [f"10.{n % 250}.{n // 250}.0/24" for n in range(8000)])) < 250


@pytest.mark.parametrize(
    ("old", "new", "word", "refuses"),
    [
        (plane(version="9.1.0"), plane(version="8.1.4"), "older server", True),
        (plane(version="10.0.0"), plane(version="9.9.9"), "older server", True),
        (plane(version="9.1.2"), plane(version="9.1.0"), "older patch", False),
        (plane(version="8.1.4"), plane(version="9.1.0"), "newer", False),
        (plane({"lib": "1"}), plane({}), "eu has the library lib, us has not", False),
        (plane({"lib": "1"}), plane({"lib": "2"}), "us has different code", False),
        (plane(cached_scripts=2), plane(cached_scripts=1), "NOSCRIPT", False),
        (plane(ahead=0.0), plane(ahead=120.0), "120.0 s ahead of eu: keys with a shorter time to live", False),
        (plane(ahead=60.0), plane(ahead=0.0), "60.0 s behind", False),
    ],
)
def test_what_the_servers_differ_in(old: ServerFacts, new: ServerFacts, word: str, refuses: bool) -> None:
    [found] = of_servers(old, new)
    assert word in found.text
    assert found.refuses == refuses
    assert found.fix or "newer" in word


def test_equal_servers_have_no_difference() -> None:
    assert of_servers(plane({"lib": "1"}, ahead=5.0), plane({"lib": "1", "more": "2"}, ahead=5.4)) == ()
    assert of_servers(plane(None), plane(None)) == (), "where functions may not be listed they are counted"


@pytest.mark.parametrize(("uncertain", "skew"), [(0.1, 2.0), (1.5, 0.0)])
def test_a_skew_is_only_told_when_the_answers_were_quick_enough_to_show_it(uncertain: float, skew: float) -> None:
    planes = PairFacts(primary=plane(uncertain=uncertain), replica=plane(ahead=2.0, uncertain=uncertain))
    assert planes.skew == skew


def judged(planes: PairFacts | None, *services: models.Service) -> Any:
    return compare_sides(Setting(project=P), "eu", "us", ()).judge(planes, seen_of(*services))


def test_all_is_told_but_only_what_can_not_work_refuses() -> None:
    old, new = service("eu", user_config={"valkey_timeout": 1}), service("us")
    planes = PairFacts(primary=plane(ahead=3), replica=plane())
    finding = judged(planes, old, new)
    assert (finding.verdict, len(finding.warnings)) == ("go", 2)
    assert [one["topic"] for one in finding.facts["differences"]] == ["setting", "clock"]
    refused = judged(PairFacts(primary=plane(version="9.1.0"), replica=plane(version="8.0.1")), old, new)
    assert refused.verdict == "stop"
    assert "avn service update us --project p -c valkey_version=9.1" in refused.hint
    assert "valkey_timeout" in refused.detail


@pytest.mark.parametrize(
    ("before", "after", "verdict", "told"),
    [
        ({"json": 10002, "lua": 1}, {"lua": 1, "json": 10002, "bf": 1}, "go", ""),
        ({"json": 10002}, {}, "stop", "module json: eu has version 10002, us has none: it skips"),
        ({"json": 10002}, {"json": 10001}, "stop", "module json: eu has version 10002, us has 10001: it skips"),
        ({"json": 10001}, {"json": 10002}, "go", "module json: eu has version 10001, us has 10002: applications"),
    ],
)
def test_a_module_that_the_replica_lacks_is_a_refusal(
    before: dict[str, int], after: dict[str, int], verdict: str, told: str
) -> None:
    """A command that a replica does not know is skipped there."""
    old, new = service("eu"), service("us", service_integrations=[row("eu", "us")])
    found = judged(PairFacts(primary=plane(modules=before), replica=plane(modules=after)), old, new)
    assert found.verdict == verdict
    assert told in f"{found.reason} {found.warnings}"
    assert [one["topic"] for one in found.facts["differences"]] == ["module"] * bool(told)
    assert verdict != "stop" or "avn service maintenance-start us" in found.hint or "ccr-avn enable eu" in found.hint


def test_servers_that_can_not_be_asked_are_no_failure_and_are_told() -> None:
    """That they can't be reached is another check's matter; a replica that follows nobody is not compared."""
    step = compare_sides(Setting(project=P), "eu", "us", ("ccr-avn", "switchover", "eu", "us", "--check"))
    alone, unlinked = (service("eu"),), (service("eu"), service("us", service_integrations=[]))
    for there in ((service("eu"), service("us")), alone, unlinked):
        assert isinstance(step.read, Probe)
        assert step.read.read(seen_of(*there)) is None
    assert "not compared" in " ".join(judged(None, service("eu"), service("us")).warnings)
    assert all(judged(None, *there).reason.startswith("not compared") for there in (alone, unlinked))
