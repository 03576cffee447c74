"""After a promotion: who is the primary now, whether the old one is closed, and which pairs are missing; in every format."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.aiven import lineage, models
from ccr_avn.aiven.lineage import Origin, Recorded
from ccr_avn.history.records import Record
from ccr_avn.history.story import summarize
from ccr_avn.monitoring import status
from ccr_avn.monitoring.collect import Look, Looks
from ccr_avn.monitoring.pairs import Pair, chosen, pairs_of, with_expected
from ccr_avn.output import overview
from ccr_avn.plan.events import RunStarted
from ccr_avn.procedures.gates.links import ComparedState
from ccr_avn.procedures.gates.settings import NOBODY
from ccr_avn.procedures.setting import Journals
from tests.support.factories import HISTORY, listed, row, side
from tests.support.monitored import (
    ALONE,
    CLOSED,
    MASTER,
    NOW,
    UNASKED,
    failed_over,
    judged,
    linked,
    made,
    metrics,
    promoted,
)

PAIR = {"primary": "eu", "replica": "us"}
DESCRIBED = {"user_config": {"ip_filter": [{"network": NOBODY, "description": "closed"}]}}
OFF = {"state": "POWEROFF"}
DEAD = {"state": "REBUILDING"}
FORK = {"eu": Look(side=side("master")), "us": Look(side=side("master", replid="b" * 40, replid2=HISTORY))}
BEGUN = RunStarted(
    at=0, run="R", command="switchover", title="", slugs=(), facts=PAIR, argv=("switchover", *PAIR.values())
)
RUN = summarize(Record(path=Path("R"), lines=(), half=False, head="", events=(BEGUN,), started=BEGUN, ended=None))
RESUMED = ("ccr-avn", *BEGUN.argv)
SWITCHOVER = ("ccr-avn", "switchover", "eu", "us", "--project", "p")


def eu_and_us() -> tuple[Pair, ...]:
    """Two of which nothing says that they belong together."""
    return listed(made("eu", 1), made("us", 2))


@pytest.mark.parametrize("old", [CLOSED, DESCRIBED, OFF])
@pytest.mark.parametrize("looks", [UNASKED, ALONE])
def test_the_old_primary_is_closed_and_the_new_one_lacks_a_replica(old: dict[str, Any], looks: Looks) -> None:
    found = judged(listed(*failed_over(**old), *linked()), looks)
    assert {name: (one.standing, one.health) for name, one in found.items()} == {
        "eu": ("old primary, closed", "ok"),
        "us": ("current primary", "warning"),
        "p0/r0": ("pair", "ok"),
    }
    assert found["us"].reasons == ("pair lost: no replica since it was promoted from eu",)
    assert found["eu"].exposure == ()
    line, code = status.nagios_line((found["eu"], found["us"]))
    assert code == 1
    assert line.startswith("CCR WARNING - 1 of 2 not OK: us: pair lost")
    shown = found["us"].as_dict()
    assert (shown["standing"], shown["promoted_from"], shown["replica"]) == ("current primary", "eu", None)
    assert found["eu"].as_dict()["successors"] == ["us"]
    assert "eu is an old primary: us was promoted from it, and it is closed" in "".join(
        overview.troubles((found["eu"],))
    )


@pytest.mark.parametrize(
    ("old", "looks", "seen"),
    [
        ({}, UNASKED, "0.0.0.0/0"),
        ({}, ALONE, "0.0.0.0/0"),
        ({}, MASTER, "answers as a master"),
        (DEAD, UNASKED, "0.0.0.0/0"),
        (CLOSED, MASTER, "answers as a master"),
        (CLOSED, {"eu": Look(trouble="eu: the password was refused", ours=True, answered=True)}, "it answers"),
        ({"user_config": {"ip_filter": ["10.0.0.0/8"]}}, ALONE, "10.0.0.0/8"),
        ({"user_config": {"ip_filter": [f"10.{n}.0.0/16" for n in range(9)]}}, ALONE, "and 6 more"),
    ],
)
def test_an_old_primary_that_is_open_is_critical(old: dict[str, Any], looks: Looks, seen: str) -> None:
    found = judged(listed(*failed_over(**old)), looks)
    assert (found["eu"].standing, found["eu"].health) == ("old primary, still open", "critical")
    [reason] = found["eu"].reasons
    assert "us was promoted from it" in reason
    assert seen in reason
    line, code = status.nagios_line(tuple(found.values()))
    assert (code, "eu is an old primary" in line) == (2, True)
    closing = f"""next: avn service update eu --project p -c 'ip_filter=["{NOBODY}"]'"""
    assert closing in overview.troubles(tuple(found.values()))
    assert metrics(found.values())["ccr_old_primary_open", "eu", "us"] == 1


def test_an_old_primary_that_was_terminated_leaves_a_lost_pair() -> None:
    found = judged(listed(failed_over()[1]), MASTER)
    assert [(name, one.health) for name, one in found.items()] == [("us", "warning")]


def test_namesakes_are_strangers() -> None:
    eu, us = failed_over()
    again = judged(listed(made("eu", 9), us), MASTER)
    assert again["eu"].standing == "single", "made anew under the same name"
    copied = judged(listed(eu, {**made("us", 9), "tags": us["tags"]}), MASTER)
    assert {one.standing for one in copied.values()} == {"single"}, "tags that were written for another service"


def test_a_tag_that_gives_a_name_only_is_a_warning_and_no_proof() -> None:
    named = {"tags": {lineage.FROM: "eu"}}
    found = judged(listed(made("eu", 1), made("us", 2, **named)), MASTER)
    assert (found["eu"].standing, found["eu"].health) == ("single", "warning")
    assert "do not say" in found["eu"].reasons[0]
    assert found["us"].standing == "current primary"
    assert judged(listed(made("eu", 1, **CLOSED), made("us", 2, **named)), ALONE)["eu"].health == "ok"
    younger = judged(listed(made("eu", 9), made("us", 2, **named)), MASTER)
    assert younger["eu"].health == "ok", "younger than what it made"
    shared = row("us", "eu")
    back = judged(listed(made("eu", 1, shared), made("us", 2, shared, **named)), MASTER)
    assert [one.standing for one in back.values()] == ["pair"], "a replica is no old primary"


def test_a_new_replica_makes_it_a_pair_again() -> None:
    eu, us = failed_over(**CLOSED)
    shared = row("us", "asia")
    pairs = listed(eu, {**us, "service_integrations": [shared]}, made("asia", 5, shared))
    looks = {**MASTER, "asia": Look(side=side("slave")), "eu": ALONE["eu"]}
    found = judged(pairs, looks)
    line, code = status.nagios_line(tuple(found.values()))
    assert (line.split(" | ")[0], code) == ("CCR OK - 1 pair OK, 1 old primary closed", 0)
    assert metrics(found.values())["ccr_pair_lost", "us", "asia"] == 0
    only_old = judged(chosen(pairs, ("eu",)), looks)
    assert status.nagios_line(tuple(only_old.values())) == ("CCR OK - 1 old primary closed", 0)


OURS = (
    Look(trouble="eu (h:1): its name is not known here", ours=True),
    Look(trouble="no route to host", ours=True),
    Look(trouble="eu (h:1): no answer within 2 s"),
    Look(trouble="the TLS handshake failed"),
)


@pytest.mark.parametrize("look", OURS, ids=lambda one: one.trouble)
def test_what_can_not_be_asked_is_not_called_closed(look: Look) -> None:
    found = judged(listed(*failed_over(**CLOSED)), {**ALONE, "eu": look})["eu"]
    assert (found.standing, found.health) == ("old primary, unknown whether closed", "unknown")
    assert look.trouble in found.reasons[0]
    assert found.as_dict()["closed"] is None


def untagged(*services: dict[str, Any], proven: bool = True) -> tuple[Pair, ...]:
    """These, of which only a journal on this machine says that us was promoted from eu."""
    eu, us = models.services(json.dumps([made("eu", 1), made("us", 2)]))
    origin = Origin(name="eu", old_created=lineage.created(eu), new_created=lineage.created(us))
    return pairs_of(models.services(json.dumps(services)), (Recorded(new="us", origin=origin, proven=proven),))


@pytest.mark.parametrize(("old", "health"), [({}, "critical"), (CLOSED, "warning")])
def test_a_promoted_service_that_lost_its_tags_is_never_ok(old: dict[str, Any], health: str) -> None:
    """Terraform and the Kubernetes operator replace tags and ip_filter."""
    shared = row("us", "asia")
    pairs = untagged(made("eu", 1, **old), made("us", 2, shared), made("asia", 3, shared))
    found = judged(pairs, {**MASTER, "asia": Look(side=side("slave")), **({} if not old else {"eu": ALONE["eu"]})})
    assert found["eu"].health == health
    assert "only a journal on this machine says that us was promoted from eu" in found["eu"].reasons[-1]
    assert SWITCHOVER in found["eu"].next
    assert status.nagios_line(tuple(found.values()))[1] > 0


def test_after_an_interrupted_promotion_nothing_is_ok() -> None:
    """Neither tags nor replica; the journal says that it was sent, the fence still holds, and the run has no end."""
    looks = {**MASTER, "eu": Look(side=side("master", paused_seconds=42.0))}
    found = judged(untagged(made("eu", 1), made("us", 2), proven=False), looks, unfinished=(RUN,))
    assert {name: (one.standing, one.health, one.next[0]) for name, one in found.items()} == {
        "eu": ("old primary, still open", "critical", RESUMED),
        "us": ("current primary", "warning", RESUMED),
    }
    reasons = "; ".join(found["eu"].reasons)
    for part in ("run R on this machine", "the promotion of us was sent", "writes on eu are paused, for 42.0 s more"):
        assert part in reasons
    line, code = status.nagios_line(tuple(found.values()))
    assert (code, "next: ccr-avn switchover eu us" in line) == (2, True)
    assert found["eu"].as_dict()["next"][0] == list(RESUMED)
    assert "next: ccr-avn switchover eu us" in overview.troubles(tuple(found.values()))


def test_a_single_service_whose_writes_are_paused_is_a_warning() -> None:
    [found] = judged(listed(made("eu", 1)), {"eu": Look(side=side("master", paused_seconds=9.0))}).values()
    assert (found.standing, found.health, found.next) == ("single", "warning", ())
    assert "if no run is under way: ccr-avn unfence eu --project p" in found.reasons[0]
    assert status.nagios_line((found,))[1] == 1


def test_writes_that_may_have_been_paused_for_a_promotion_are_not_to_be_resumed() -> None:
    shared, paused = row("eu", "us"), Look(side=side("master", paused_seconds=9.0))
    looks = {**FORK, "eu": paused}
    assert judged(eu_and_us(), looks)["eu"].next == (SWITCHOVER,)
    newer = Look(side=side("master", replid="b" * 40, replid2=HISTORY, paused_seconds=9.0))
    assert judged(eu_and_us(), {**FORK, "us": newer})["us"].next == ()
    pair = listed(made("eu", 1, shared), made("us", 2, shared))
    assert SWITCHOVER in judged(pair, looks)["eu/us"].next
    own = judged(pair, {"eu": paused}, unfinished=(RUN,))["eu/us"]
    assert own.next == (RESUMED,)
    assert "unfence" not in "".join(own.reasons)


class Compared(Journals):
    def equal_by_value(self, replica: str) -> tuple[ComparedState, ...]:
        return (("f", HISTORY, 2),)


def test_what_a_replica_rejected_is_a_warning() -> None:
    pairs = listed(*linked("eu", "us"))
    looks = {"eu": Look(side=side("master")), "us": Look(side=side("slave", rejected=2))}
    [found] = judged(pairs, looks).values()
    assert (found.health, found.reasons) == ("warning", ("us rejected 2 commands from its primary",))
    assert found.next == (("ccr-avn", "verify", "eu", "us", "--level", "values", "--project", "p"),)
    [equal] = judged(pairs, looks, journals=Compared()).values()
    assert equal.health == "ok", "a comparison by value has found it equal since"


def test_a_fork_is_shown_and_keeps_its_health() -> None:
    pairs = eu_and_us()
    found = judged(pairs, FORK)
    assert {(one.standing, one.health, one.next) for one in found.values()} == {
        ("fork or unrecorded promotion", "ok", ())
    }
    assert (found["eu"].related, found["us"].as_dict()["shares_history_with"]) == (("us",), ["eu"])
    assert "us shares its history with eu: a fork, or a promotion" in "".join(overview.troubles(tuple(found.values())))
    line, _ = status.nagios_line(tuple(found.values()))
    assert line == "CCR UNKNOWN - there is no pair; eu and us share a history (fork or unrecorded promotion)"
    expected = judged(with_expected(pairs, pairs, [("eu", "us")]), FORK)
    assert expected["eu/us"].health == "critical", "--expect decides"
    named = judged(chosen(pairs, ("us",)), FORK, among=pairs)["us"]
    assert (named.standing, named.related) == ("fork or unrecorded promotion", ("eu",))
    recorded = judged(listed(*failed_over()), FORK)
    assert [one.related for one in recorded.values()] == [(), ()], "one that is recorded is none"


@pytest.mark.parametrize("rows", [(), (row("eu", "drilled"),)])
def test_a_drills_service_is_shown_with_its_age_and_judges_nothing(rows: tuple[dict[str, Any], ...]) -> None:
    shared = row("eu", "us")
    services = (made("eu", 1, shared, *rows), made("us", 2, shared), made("drilled", 3, *rows))
    pairs = pairs_of(models.services(json.dumps(services)), (), {"drilled": "R"})
    looks = {**MASTER, "us": Look(side=side("slave")), "drilled": Look(trouble="no answer")}
    found = {one.pair.replica_name or one.pair.primary_name: one for one in judged(pairs, looks).values()}
    drilled = found["drilled"]
    assert (drilled.standing, drilled.health) == ("drill's service", "ok")
    seconds = (NOW - datetime(2026, 1, 3, tzinfo=UTC)).total_seconds()
    assert drilled.as_dict()["drill"] == {"run": "R", "age_seconds": seconds}
    assert overview.row(drilled)[1] == "drill's service, 212 d old"
    assert overview.troubles((drilled,))[-1] == "next: ccr-avn drill --clean --only drilled --project p"
    assert "drilled" not in str(metrics(found.values()))
    assert status.nagios_line(tuple(found.values()))[1] == 0


@pytest.mark.parametrize(("old", "health"), [(CLOSED, "warning"), ({}, "critical")])
def test_a_replica_of_an_old_primary_is_told(old: dict[str, Any], health: str) -> None:
    shared = row("eu", "asia")
    eu, us = failed_over(**old)
    found = judged(listed({**eu, "service_integrations": [shared]}, us, made("asia", 3, shared)))["eu/asia"]
    assert found.health == health
    assert "old primary" in found.reasons[0]


WORLDS = {
    "pair": (),
    "closed": failed_over(**CLOSED),
    "open": failed_over(),
    "single": (made("alone", 1),),
    "off": (made("alone", 1, **OFF),),
    "gone": (made("r9", 1, row("p9", "r9")),),
    "named": (made("eu", 1), made("us", 2, tags={lineage.FROM: "eu"})),
}


@pytest.mark.parametrize("world", WORLDS)
def test_a_service_that_is_named_stands_as_it_does_among_all(world: str) -> None:
    pairs = listed(*WORLDS[world], *linked())
    among_all = judged(pairs, MASTER)
    for name in {one for pair in pairs for one in (pair.primary_name, pair.replica_name) if one}:
        assert judged(chosen(pairs, (name,)), MASTER).items() <= among_all.items()


@pytest.mark.parametrize(
    ("services", "why"),
    [
        (failed_over(**CLOSED), "us was promoted from eu"),
        ((), "eu and us do not exist"),
        ((made("eu", 1),), "us does not exist"),
        ((made("eu", 1), made("us", 2)), "us has no read_replica integration"),
        ((made("eu", 1), made("us", 2, row("asia", "us")), made("asia", 1)), "us follows asia"),
    ],
)
def test_an_expected_pair_that_is_missing_is_critical(services: tuple[dict[str, Any], ...], why: str) -> None:
    pairs = listed(*services)
    found = judged(with_expected(pairs, pairs, [("eu", "us")]))
    one = found["eu/us"]
    assert (one.standing, one.health, one.reasons) == ("missing", "critical", (f"the expected pair is missing: {why}",))
    shown = metrics(found.values())
    assert shown["ccr_link_up", "eu", "us"] == shown["ccr_integration_active", "eu", "us"] == 0
    assert shown["ccr_health", "eu", "us"] == shown["ccr_status_health",] == 2


def test_a_missing_pair_whose_replica_still_follows_is_told_as_that() -> None:
    looks = {**MASTER, "us": Look(side=side("slave"))}
    one = judged(with_expected((), eu_and_us(), [("eu", "us")]), looks)["eu/us"]
    assert "its promotion is in progress" in one.reasons[1]


def test_the_series_of_a_pair_stay_after_its_promotion() -> None:
    before = metrics(judged(listed(*linked("eu", "us")), MASTER).values())
    after = metrics(judged(listed(*failed_over(**CLOSED)), ALONE).values())
    pair = {(f"ccr_{name}", "eu", "us") for name in ("link_up", "health", "pair_lost")}
    assert {*pair, ("ccr_up", "us")} <= before.keys() & after.keys()
    assert ("ccr_up", "eu") not in after, "that a closed service does not answer is no alarm"


def test_of_the_worse_word_on_a_pair_nothing_is_lost() -> None:
    z = made("z", 1, **CLOSED)
    pairs = listed(z, promoted(made("a", 2), z))
    found = judged(with_expected(pairs, pairs, [("z", "a")]))
    assert [one.health for one in found.values()] == ["warning", "ok", "critical"]
    assert metrics(found.values())["ccr_health", "z", "a"] == 2


def test_what_the_platform_says_is_shown_without_what_steers_a_terminal() -> None:
    odd = listed(made("eu", 1, plan="\x1b[2Jstartup\n-4 \ud800"), made("us", 2, state="\x1b]0;x\x07|"))
    found = tuple(judged(odd).values())
    line, _ = status.nagios_line(found)
    shown = "\n".join([line, overview.shown(found, {})])
    assert not [one for one in shown if one != "\n" and not one.isprintable()]
    assert "\\x1b[2Jstartup\\n-4 \\ud800" in shown
    assert "|" not in line
    assert "\x1b" not in str(metrics(judged(listed(made("e\x1bu", 1, row("e\x1bu", "us")))).values()))


@pytest.mark.parametrize(("ago", "warned"), [(10, True), (-10, True), (1000, False)])
def test_a_promotion_that_another_machine_has_sent_is_told_for_a_while(ago: int, warned: bool) -> None:
    """Its integration is gone, and nothing but its mark says what it is."""
    rows = (made("eu", 1, row("eu", "us2")), made("us", 2), made("us2", 3, row("eu", "us2")))
    old, new, _ = models.services(json.dumps(rows))
    mark = lineage.mark(old, new, NOW.timestamp() - ago).split("=")
    found = judged(listed(rows[0], {**rows[1], "tags": dict([mark])}, rows[2]))
    reasons = [one for one in found["eu/us2"].reasons if "the promotion of us from eu was sent at" in one]
    assert bool(reasons) == warned
    assert (SWITCHOVER in found["eu/us2"].next) == warned
    assert found["us"].standing == "single", "it never says which service is the primary"
