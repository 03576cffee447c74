"""After a promotion: who is the primary now, whether the old one is closed, and which pairs are missing; in every format."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.aiven import lineage, models
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.lineage import Origin, Recorded
from ccr_avn.aiven.program import world_of
from ccr_avn.aiven.reading import Rows
from ccr_avn.cli.boundary import run
from ccr_avn.errors import AvnError, Unreachable
from ccr_avn.history.drills import Drilled
from ccr_avn.history.resume import Unfinished
from ccr_avn.monitoring import collect, nagios, prometheus
from ccr_avn.monitoring.collect import Look, Looks, look_at_all
from ccr_avn.monitoring.health import pair_statuses
from ccr_avn.monitoring.pairs import Pair, chosen, pairs_of, with_expected
from ccr_avn.monitoring.status import CODES, Known, PairStatus
from ccr_avn.output import tables
from ccr_avn.procedures.gates.drill import TAG, made_tag
from ccr_avn.procedures.gates.settings import NOBODY
from ccr_avn.valkey.diagnose import Answered
from tests.support.factories import HISTORY, row, service, side

NOW = datetime(2026, 8, 2, 12, tzinfo=UTC)
CLOSED = {"user_config": {"ip_filter": [NOBODY]}}
DESCRIBED = {"user_config": {"ip_filter": [{"network": NOBODY, "description": "closed"}]}}
OFF = {"state": "POWEROFF"}
DEAD = {"state": "REBUILDING"}
MASTER = {name: Look(side=side("master")) for name in ("eu", "us", "asia")}
ALONE = {"us": Look(side=side("master")), "eu": Look(trouble="eu: no answer", refused=True)}


def made(name: str, day: int, *rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A service that was created on that day."""
    return service(name, *rows, create_time=f"2026-01-{day:02}T00:00:00Z", **more)


def promoted(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """``new`` with the tags that a promotion from ``old`` leaves."""
    before, after = models.services(json.dumps([old, new]))
    words = lineage.tags(before, after, HISTORY)
    return {**new, "tags": dict(word.split("=") for word in words)}


def every(*services: dict[str, Any]) -> tuple[Pair, ...]:
    return pairs_of(models.services(json.dumps(services)))


def judged(
    pairs: tuple[Pair, ...], looks: Looks | None = None, unfinished: tuple[Unfinished, ...] = ()
) -> dict[str, PairStatus]:
    known = Known(now=NOW, project=Project("p"), unfinished=unfinished)
    return {one.pair.name: one for one in pair_statuses(pairs, looks, known)}


def failed_over(**old: Any) -> tuple[dict[str, Any], ...]:
    """eu was the primary of us, which was promoted."""
    eu = made("eu", 1, **old)
    return eu, promoted(made("us", 2), eu)


def with_another_pair(*services: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    shared = row("p0", "r0")
    return (*services, made("p0", 3, shared), made("r0", 4, shared))


@pytest.mark.parametrize("old", [CLOSED, DESCRIBED, OFF])
@pytest.mark.parametrize("looks", [None, ALONE])
def test_the_old_primary_is_closed_and_the_new_one_lacks_a_replica(old: dict[str, Any], looks: Looks | None) -> None:
    found = judged(every(*with_another_pair(*failed_over(**old))), looks)
    assert {name: (one.standing, one.health) for name, one in found.items()} == {
        "eu": ("old primary, closed", "ok"),
        "us": ("current primary", "warning"),
        "p0/r0": ("pair", found["p0/r0"].health),
    }
    assert found["us"].reasons == ("pair lost: no replica since it was promoted from eu",)
    assert found["eu"].exposure == ()
    line, code = nagios.line_of((found["eu"], found["us"]))
    assert code == 1
    assert line.startswith("CCR WARNING - 1 of 2 not OK: us: pair lost")
    told = found["us"].as_dict()
    assert (told["standing"], told["promoted_from"], told["replica"]) == ("current primary", "eu", None)
    assert found["eu"].as_dict()["promoted"] == ["us"]
    assert "eu is an old primary: us was promoted from it, and it is closed" in "".join(tables.troubles((found["eu"],)))


@pytest.mark.parametrize(
    ("old", "looks", "seen"),
    [
        ({}, None, "0.0.0.0/0"),
        ({}, ALONE, "0.0.0.0/0"),
        ({}, MASTER, "answers as a master"),
        (DEAD, None, "0.0.0.0/0"),
        (CLOSED, MASTER, "answers as a master"),
        (CLOSED, {"eu": Look(trouble="eu: the password was refused", ours=True, answered=True)}, "it answers"),
        ({"user_config": {"ip_filter": ["10.0.0.0/8"]}}, ALONE, "10.0.0.0/8"),
        ({"user_config": {"ip_filter": [f"10.{n}.0.0/16" for n in range(9)]}}, ALONE, "and 6 more"),
    ],
)
def test_an_old_primary_that_is_open_is_critical(old: dict[str, Any], looks: Looks | None, seen: str) -> None:
    found = judged(every(*failed_over(**old)), looks)
    assert (found["eu"].standing, found["eu"].health) == ("old primary, still open", "critical")
    [reason] = found["eu"].reasons
    assert "us was promoted from it" in reason
    assert seen in reason
    line, code = nagios.line_of(tuple(found.values()))
    assert code == 2
    assert "eu is an old primary" in line
    told = tables.troubles(tuple(found.values()))
    assert f"""next: avn service update eu --project p -c 'ip_filter=["{NOBODY}"]'""" in told
    assert 'ccr_old_primary_open{aiven_service="eu",project="p",successor="us"} 1' in prometheus.text_of(
        tuple(found.values()), "p"
    )


def test_an_old_primary_that_was_terminated_leaves_a_lost_pair() -> None:
    found = judged(every(failed_over()[1]), MASTER)
    assert [(name, one.health) for name, one in found.items()] == [("us", "warning")]


def test_namesakes_are_strangers() -> None:
    eu, us = failed_over()
    again = judged(every(made("eu", 9), us), MASTER)
    assert again["eu"].standing == "single", "made anew under the same name"
    copied = judged(every(eu, {**made("us", 9), "tags": us["tags"]}), MASTER)
    assert {one.standing for one in copied.values()} == {"single"}, "tags that were written for another service"


def test_a_tag_that_gives_a_name_only_is_a_warning_and_no_proof() -> None:
    named = {"tags": {lineage.FROM: "eu"}}
    found = judged(every(made("eu", 1), made("us", 2, **named)), MASTER)
    assert (found["eu"].standing, found["eu"].health) == ("single", "warning")
    assert "do not say" in found["eu"].reasons[0]
    assert found["us"].standing == "current primary"
    assert judged(every(made("eu", 1, **CLOSED), made("us", 2, **named)), ALONE)["eu"].health == "ok"
    assert judged(every(made("eu", 9), made("us", 2, **named)), MASTER)["eu"].health == "ok", (
        "younger than what it made"
    )
    shared = row("us", "eu")
    back = judged(every(made("eu", 1, shared), made("us", 2, shared, **named)), MASTER)
    assert [one.standing for one in back.values()] == ["pair"], "a replica is no old primary"


def test_there_and_back_again() -> None:
    _, us = failed_over()
    again = promoted(made("eu", 9), us)
    found = judged(every(again, us), MASTER)
    assert {name: one.standing for name, one in found.items()} == {
        "eu": "current primary",
        "us": "old primary, still open",
    }


def test_a_new_replica_makes_it_a_pair_again() -> None:
    eu, us = failed_over(**CLOSED)
    shared = row("us", "asia")
    services = (eu, {**us, "service_integrations": [shared]}, made("asia", 5, shared))
    looks = {
        "us": Look(side=side("master")),
        "asia": Look(side=side("slave")),
        "eu": Look(trouble="refused", refused=True),
    }
    found = pair_statuses(every(*services), looks, Known(now=NOW))
    line, code = nagios.line_of(found)
    assert (line.split(" | ")[0], code) == ("CCR OK - 1 pair OK, 1 old primary closed", 0)
    assert 'ccr_pair_lost{primary="us",project="p",replica="asia"} 0' in prometheus.text_of(found, "p")
    only_old = pair_statuses(chosen(every(*services), ("eu",)), looks, Known(now=NOW))
    assert nagios.line_of(only_old) == ("CCR OK - 1 old primary closed", 0)


OURS = (
    Look(trouble="eu (h:1): its name is not known here", ours=True),
    Look(trouble="no route to host", ours=True),
    Look(trouble="eu (h:1): no answer within 2 s"),
    Look(trouble="the TLS handshake failed"),
)


@pytest.mark.parametrize("look", OURS, ids=lambda one: one.trouble)
def test_what_can_not_be_asked_is_not_called_closed(look: Look) -> None:
    found = judged(every(*failed_over(**CLOSED)), {**ALONE, "eu": look})["eu"]
    assert (found.standing, found.health, found.closed) == ("old primary, unknown whether closed", "unknown", "")
    assert look.trouble in found.reasons[0]
    assert found.as_dict()["closed"] is None


def journaled(**more: Any) -> tuple[Recorded, ...]:
    """What a journal of this machine says of the promotion of us."""
    eu, us = models.services(json.dumps([made("eu", 1), made("us", 2)]))
    origin = Origin(name="eu", old_created=lineage.created(eu), new_created=lineage.created(us))
    return (Recorded(new="us", origin=origin, **{"proven": True, **more}),)


def untagged(*services: dict[str, Any], **more: Any) -> tuple[Pair, ...]:
    return pairs_of(models.services(json.dumps(services)), journaled(**more))


@pytest.mark.parametrize(("old", "health"), [({}, "critical"), (CLOSED, "warning")])
def test_a_promoted_service_that_lost_its_tags_is_never_ok(old: dict[str, Any], health: str) -> None:
    """Terraform and the Kubernetes operator replace tags and ip_filter."""
    shared = row("us", "asia")
    pairs = untagged(made("eu", 1, **old), made("us", 2, shared), made("asia", 3, shared))
    found = judged(pairs, {**MASTER, "asia": Look(side=side("slave")), **({} if not old else {"eu": ALONE["eu"]})})
    assert found["eu"].health == health
    assert "only a journal of this machine says that us was promoted from eu" in found["eu"].reasons[-1]
    assert ("ccr-avn", "switchover", "eu", "us", "--project", "p") in found["eu"].next
    assert nagios.line_of(tuple(found.values()))[1] > 0


def test_after_an_interrupted_promotion_nothing_is_ok() -> None:
    """Neither tags nor replica; the journal says that it was sent, the fence still holds, and the run has no end."""
    run = Unfinished(run="R", command="switchover", services=("eu", "us"), next=("ccr-avn", "switchover", "eu", "us"))
    looks = {"eu": Look(side=side("master", paused_seconds=42.0)), "us": Look(side=side("master"))}
    found = judged(untagged(made("eu", 1), made("us", 2), proven=False), looks, (run,))
    assert {name: (one.standing, one.health, one.next[0]) for name, one in found.items()} == {
        "eu": ("old primary, still open", "critical", run.next),
        "us": ("current primary", "warning", run.next),
    }
    told = "; ".join(found["eu"].reasons)
    for part in ("run R on this machine", "the promotion of us was sent", "writes on eu are paused, for 42.0 s more"):
        assert part in told
    line, code = nagios.line_of(tuple(found.values()))
    assert (code, "next: ccr-avn switchover eu us" in line) == (2, True)
    assert found["eu"].as_dict()["next"][0] == list(run.next)
    assert "next: ccr-avn switchover eu us" in tables.troubles(tuple(found.values()))


def test_a_single_service_whose_writes_are_paused_is_a_warning() -> None:
    [found] = judged(every(made("eu", 1)), {"eu": Look(side=side("master", paused_seconds=9.0))}).values()
    assert (found.standing, found.health) == ("single", "warning")
    assert found.next == ()
    assert "if no run is under way: ccr-avn unfence eu --project p" in found.reasons[0]
    assert nagios.line_of((found,))[1] == 1


def test_writes_that_may_have_been_paused_for_a_promotion_are_not_to_be_resumed() -> None:
    paused, promoted = side("master", paused_seconds=9.0), side("master", replid="b" * 40, replid2=HISTORY)
    closing = ("ccr-avn", "switchover", "eu", "us", "--project", "p")
    pairs, looks = every(made("eu", 1), made("us", 2)), {"eu": Look(side=paused), "us": Look(side=promoted)}
    assert judged(pairs, looks)["eu"].next == (closing,)
    newer = {
        "eu": Look(side=side("master")),
        "us": Look(side=side("master", replid="b" * 40, replid2=HISTORY, paused_seconds=9.0)),
    }
    assert judged(pairs, newer)["us"].next == ()
    shared = row("eu", "us")
    assert closing in judged(every(made("eu", 1, shared), made("us", 2, shared)), looks)["eu/us"].next
    run = Unfinished(run="R", command="switchover", services=("eu", "us"), next=("ccr-avn", "switchover", "eu", "us"))
    [own] = judged(every(made("eu", 1, shared), made("us", 2, shared)), {"eu": Look(side=paused)}, (run,)).values()
    assert own.next == (run.next,)
    assert "unfence" not in "".join(own.reasons)


def test_what_a_replica_rejected_is_a_warning() -> None:
    shared = row("eu", "us")
    looks = {"eu": Look(side=side("master")), "us": Look(side=side("slave", rejected=2))}
    pairs = every(made("eu", 1, shared), made("us", 2, shared))
    [found] = judged(pairs, looks).values()
    assert (found.health, found.reasons) == ("warning", ("us rejected 2 commands of its primary",))
    assert found.next == (("ccr-avn", "verify", "eu", "us", "--level", "values", "--project", "p"),)
    known = Known(now=NOW, compared=lambda _: (("f", HISTORY, 2),))
    [equal] = pair_statuses(pairs, looks, known)
    assert equal.health == "ok", "a comparison by value has found it equal since"


def test_a_named_service_is_what_it_is_among_all() -> None:
    looks = {"eu": Look(side=side("master")), "us": Look(side=side("master", replid="b" * 40, replid2=HISTORY))}
    pairs = every(made("eu", 1), made("us", 2))
    [named] = pair_statuses(chosen(pairs, ("us",)), looks, Known(now=NOW), among=pairs)
    assert (named.standing, named.related) == ("fork or unrecorded promotion", ("eu",))


def test_a_fork_is_shown_and_keeps_its_health() -> None:
    looks = {"eu": Look(side=side("master")), "us": Look(side=side("master", replid="b" * 40, replid2=HISTORY))}
    found = judged(every(made("eu", 1), made("us", 2)), looks)
    assert {(one.standing, one.health, one.next) for one in found.values()} == {
        ("fork or unrecorded promotion", "ok", ())
    }
    assert (found["eu"].related, found["us"].as_dict()["shares_history_with"]) == (("us",), ["eu"])
    assert "us shares its history with eu: a fork, or a promotion" in "".join(tables.troubles(tuple(found.values())))
    line, _ = nagios.line_of(tuple(found.values()))
    assert line == "CCR UNKNOWN - there is no pair; eu and us share a history (fork or unrecorded promotion)"
    pairs = every(made("eu", 1), made("us", 2))
    expected = judged(with_expected(pairs, pairs, [("eu", "us")]), looks)
    assert expected["eu/us"].health == "critical", "--expect decides"


def test_one_that_is_recorded_is_no_fork() -> None:
    looks = {"eu": Look(side=side("master")), "us": Look(side=side("master", replid="b" * 40, replid2=HISTORY))}
    found = judged(every(*failed_over()), looks)
    assert [one.related for one in found.values()] == [(), ()]


@pytest.mark.parametrize("rows", [(), (row("eu", "drilled"),)])
def test_a_drills_service_is_shown_with_its_age_and_judges_nothing(rows: tuple[dict[str, Any], ...]) -> None:
    shared = row("eu", "us")
    services = (made("eu", 1, shared, *rows), made("us", 2, shared), made("drilled", 3, *rows))
    pairs = pairs_of(models.services(json.dumps(services)), (), {"drilled": "R"})
    looks = {**MASTER, "us": Look(side=side("slave")), "drilled": Look(trouble="no answer")}
    found = {one.pair.replica_name or one.pair.primary_name: one for one in judged(pairs, looks).values()}
    drilled = found["drilled"]
    assert (drilled.standing, drilled.health) == ("drill's service", "ok")
    assert drilled.as_dict()["drill"] == {
        "run": "R",
        "age_seconds": (NOW - datetime(2026, 1, 3, tzinfo=UTC)).days * 86400 + 43200,
    }
    assert tables.rows((drilled,))[1][1] == "drill's service, 212 d old"
    assert tables.troubles((drilled,))[-1] == "next: ccr-avn drill --clean --only drilled --project p"
    assert "drilled" not in prometheus.text_of(tuple(found.values()), "p")
    assert nagios.line_of(tuple(found.values()))[1] == 0


@pytest.mark.parametrize(("old", "health"), [(CLOSED, "warning"), ({}, "critical")])
def test_a_replica_of_an_old_primary_is_told(old: dict[str, Any], health: str) -> None:
    shared = row("eu", "asia")
    eu, us = failed_over(**old)
    services = ({**eu, "service_integrations": [shared]}, us, made("asia", 3, shared))
    found = judged(every(*services))["eu/asia"]
    assert found.health == health
    assert "old primary" in found.reasons[0]


WORLDS = {
    "pair": with_another_pair(),
    "closed": with_another_pair(*failed_over(**CLOSED)),
    "open": with_another_pair(*failed_over()),
    "single": with_another_pair(made("alone", 1)),
    "off": with_another_pair(made("alone", 1, **OFF)),
    "gone": with_another_pair(made("r9", 1, row("p9", "r9"))),
    "named": with_another_pair(made("eu", 1), made("us", 2, tags={lineage.FROM: "eu"})),
}


@pytest.mark.parametrize("world", WORLDS)
def test_a_service_that_is_named_stands_as_it_does_among_all(world: str) -> None:
    pairs = every(*WORLDS[world])
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
    pairs = every(*services)
    found = judged(with_expected(pairs, pairs, [("eu", "us")]))
    one = found["eu/us"]
    assert (one.standing, one.health, one.reasons) == ("missing", "critical", (f"the expected pair is missing: {why}",))
    text = prometheus.text_of(tuple(found.values()), "p")
    for series in ("ccr_link_up", "ccr_integration_active"):
        assert f'{series}{{primary="eu",project="p",replica="us"}} 0' in text
    assert 'ccr_health{primary="eu",project="p",replica="us"} 2' in text
    assert 'ccr_status_health{project="p"} 2' in text


def test_a_missing_pair_whose_replica_still_follows_is_told_as_that() -> None:
    pairs = every(made("eu", 1), made("us", 2))
    looks = {"eu": Look(side=side("master")), "us": Look(side=side("slave"))}
    [one] = [one for name, one in judged(with_expected((), pairs, [("eu", "us")]), looks).items()]
    assert "its promotion is in progress" in one.reasons[1]


def test_an_expected_pair_that_is_there_is_judged_once_and_also_when_others_are_named() -> None:
    pairs = every(*WORLDS["pair"])
    assert with_expected(pairs, pairs, [("p0", "r0")]) == pairs
    named = with_expected((), pairs, [("p0", "r0"), ("x", "y")])
    assert [one.name for one in named] == ["p0/r0", "x/y"]


def test_the_series_of_a_pair_stay_after_its_promotion() -> None:
    shared = row("eu", "us")
    names = ('ccr_link_up{primary="eu",project="p",replica="us"}', 'ccr_health{primary="eu",project="p",replica="us"}')
    before = prometheus.text_of(
        tuple(judged(every(made("eu", 1, shared), made("us", 2, shared)), MASTER).values()), "p"
    )
    after = prometheus.text_of(tuple(judged(every(*failed_over(**CLOSED)), ALONE).values()), "p")
    for name in (
        *names,
        'ccr_pair_lost{primary="eu",project="p",replica="us"}',
        'ccr_up{aiven_service="us",project="p"}',
    ):
        assert name in before
        assert name in after
    assert 'ccr_up{aiven_service="eu",project="p"}' not in after, "that a closed service does not answer is no alarm"


def test_of_the_worse_word_on_a_pair_nothing_is_lost() -> None:
    z = made("z", 1, **CLOSED)
    pairs = every(z, promoted(made("a", 2), z))
    found = judged(with_expected(pairs, pairs, [("z", "a")]))
    assert [one.health for one in found.values()] == ["warning", "ok", "critical"]
    assert 'ccr_health{primary="z",project="p",replica="a"} 2' in prometheus.text_of(tuple(found.values()), "p")


def test_what_the_replica_says_of_its_row_counts() -> None:
    both = made("eu", 1, row("eu", "us")), made("us", 2, row("eu", "us", active=False))
    for services in (both, both[::-1]):
        [pair] = every(*services)
        assert pair.row
        assert not pair.row.active


def test_rows_that_say_less_than_they_should() -> None:
    hidden = judged(every(made("us", 1, row("x", "us", source_service=None))))["?/us"]
    assert (hidden.standing, hidden.health) == ("pair", "warning")
    unlisted = judged(every(made("eu", 1, row("eu", "us"))))["eu/us"]
    assert (unlisted.health, unlisted.reasons[0]) == ("critical", "us no longer exists")
    far = row("eu", "us", source_project="theirs", dest_project="ours")
    found = judged(every(made("us", 1, far), made("eu", 2)), {"us": Look(side=side("slave"))})
    assert found["eu/us"].health == "ok"
    assert found["eu/us"].link == "up, primary unknown"
    assert found["eu/us"].as_dict()["primary"]["state"] == "elsewhere"
    assert found["eu/us"].pair.primary is None, "a service of that name in this project is a stranger"
    assert found["eu"].standing == "single"


def test_what_the_platform_says_is_shown_without_what_steers_a_terminal() -> None:
    odd = every(made("eu", 1, plan="\x1b[2Jstartup\n-4 \ud800"), made("us", 2, state="\x1b]0;x\x07|"))
    found = tuple(judged(odd).values())
    line, _ = nagios.line_of(found)
    shown = "\n".join([line, *tables.troubles(found), *(cell for cells in tables.rows(found) for cell in cells)])
    assert not [one for one in shown if one != "\n" and not one.isprintable()]
    assert "\\x1b[2Jstartup\\n-4 \\ud800" in shown
    assert "|" not in line
    text = prometheus.text_of(tuple(judged(every(made("e\x1bu", 1, row("e\x1bu", "us")))).values()), "p")
    assert "\x1b" not in text


def test_every_server_is_asked_also_one_that_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch_replication(where: Any, **_: Any) -> Any:
        asked.append(where.service)
        if where.service == "eu":
            raise Answered("eu: the password was refused", passing=False)
        raise Unreachable(f"{where.service}: no answer")

    monkeypatch.setattr("ccr_avn.monitoring.collect.fetch_replication", fetch_replication)
    services = [
        {**one, "service_uri": "rediss://u:p@h:1"} for one in (*with_another_pair(*failed_over()), made("alone", 1))
    ]
    found = look_at_all(every(*services), limit=60)
    assert sorted(asked) == ["alone", "eu", "p0", "r0", "us"]
    assert (found["eu"].answered, found["us"].answered) == (True, False)


def shown(monkeypatch: pytest.MonkeyPatch, *services: dict[str, Any], error: Exception | None = None) -> None:
    """Have avn list these."""

    def begin(*_: Any) -> Any:
        def answer() -> Any:
            if error:
                raise error
            return models.services(json.dumps(services))

        return answer

    monkeypatch.setattr("ccr_avn.cli.status.begin", begin)


LOCAL = ("status", "--no-data-plane")


@pytest.mark.parametrize(
    ("services", "words", "code"),
    [
        (with_another_pair(), (), 0),
        (failed_over(**CLOSED), (), 1),
        (failed_over(), (), 2),
        ((made("alone", 1),), (), 3),
        ((made("alone", 1),), ("alone",), 3),
        (with_another_pair(), ("--expect", "p0:r0"), 0),
        (with_another_pair(), ("--expect", "p0:r1"), 2),
        (with_another_pair(made("eu", 1)), ("eu", "--expect", "p0:r1"), 2),
    ],
)
def test_the_exit_code_is_the_health_in_every_format(
    services: tuple[dict[str, Any], ...],
    words: tuple[str, ...],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown(monkeypatch, *services)
    assert run([*LOCAL, *words]) == 0
    assert run([*LOCAL, *words, "--format", "nagios"]) == code
    for form in ("table", "json", "prometheus"):
        assert run([*LOCAL, *words, "--format", form, "--exit-code"]) == code
    capsys.readouterr()
    run([*LOCAL, *words, "--json"])
    assert CODES[json.loads(capsys.readouterr().out)["result"]["health"]] == code


def test_where_the_list_can_not_be_had_the_old_primary_is_asked_for_too(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {one.name: one for one in models.services(json.dumps(failed_over()))}

    def ask_each(_: Any, __: Any, names: tuple[str, ...], *___: Any, **____: Any) -> Any:
        return Rows(there[name] for name in names)

    monkeypatch.setattr("ccr_avn.monitoring.collect.ask_each", ask_each)
    world = world_of("avn", call_timeout=1)
    found = collect.ask_by_name(world, Project(), ("us",), lambda _: None)
    assert {one.name for one in found} == {"us", "eu"}


def test_that_there_is_no_pair_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown(monkeypatch, made("alone", 1))
    for words in ([], ["alone"]):
        assert run([*LOCAL, *words]) == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith("unknown: there is no pair")


def drilled(name: str, *rows: dict[str, Any]) -> dict[str, Any]:
    """With the tags that a drill of p0 set on it."""
    run = "20260102T030405000Z-abc123"
    mine, source = models.services(json.dumps([made(name, 5, *rows), made("p0", 3)]))
    tags = dict(one.split("=", 1) for one in (f"{TAG}={run}", made_tag(run, mine, source, 0)))
    return made(name, 5, *rows, tags=tags)


def test_an_expected_pair_is_judged_as_one_also_where_a_drill_made_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = {**row("p0", "e"), "active": False}
    shown(monkeypatch, made("p0", 3, lost), drilled("e", lost))
    assert run([*LOCAL, "--format", "nagios"]) == 3
    assert run([*LOCAL, "--expect", "p0:e", "--format", "nagios"]) == 1
    assert "drill" not in capsys.readouterr().out


def test_copied_tags_of_a_drill_hide_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = {**row("p0", "r0"), "active": False}
    shown(monkeypatch, made("p0", 3, lost), {**made("r0", 4, lost), "tags": drilled("e")["tags"]})
    assert run([*LOCAL, "--format", "nagios"]) == 1


def test_what_the_last_drill_left_untested_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(monkeypatch, *with_another_pair(), drilled("drilled"))
    last = Drilled(run="R", at=time.time(), ok=False, rto_ms=None, failed=(), untested=("filter-refuses",))
    monkeypatch.setattr("ccr_avn.history.drills.newest", lambda _: {"p0": last})
    assert run([*LOCAL, "--exit-code"]) == 0
    told = capsys.readouterr().out
    assert "last drill of p0: today (R, critical and not tested: filter-refuses)" in told
    assert "next: ccr-avn drill --clean --only drilled" in told


def test_a_failure_of_ours_is_no_health_of_a_pair(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(monkeypatch, error=AvnError("avn failed", detail="why", hint="avn user info"))
    assert run([*LOCAL, "--exit-code"]) == 3
    assert capsys.readouterr().err.splitlines()[:3] == ["error: avn failed", "detail: why", "hint: avn user info"]
    for words in (["--bogus"], ["--warn-lag", "x"], ["UPPER"], ["--expect", "x"]):
        assert run([*LOCAL, "--exit-code", *words]) == 3
    shown(monkeypatch, error=KeyError("x"))
    assert run([*LOCAL, "--exit-code"]) == 3
    shown(monkeypatch, *with_another_pair())
    assert run([*LOCAL, "--exit-code", "nope"]) == 3
    assert run([*LOCAL, "nope"]) == 4


def test_expected_pairs_come_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(monkeypatch, *with_another_pair())
    file = tmp_path / "pairs"
    file.write_text("# what must be there\n\np0:r0  # the cache\np1:r1\n")
    assert run([*LOCAL, "--json", "--expect", f"@{file}", "--expect", "p2:r2"]) == 0
    pairs = json.loads(capsys.readouterr().out)["result"]["pairs"]
    assert [(one["primary"]["name"], one["health"]) for one in pairs] == [
        ("p0", "ok"),
        ("p1", "critical"),
        ("p2", "critical"),
    ]
    file.write_text("# nothing\n")
    for given in (f"@{file}", f"@{tmp_path}/none", "p0", "p0:p0", "P0:r0", "p0:"):
        assert run([*LOCAL, "--expect", given]) == 2
        assert capsys.readouterr().err.startswith("error: ")


def test_what_can_not_be_read_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown(monkeypatch, *with_another_pair(), made("odd", 1, backups=[{"backup_name": 7}]))
    assert run([*LOCAL]) == 0
    assert "warning: odd" in capsys.readouterr().err
    run([*LOCAL, "--json"])
    assert json.loads(capsys.readouterr().out)["result"]["warnings"]
    assert run([*LOCAL, "--format", "nagios"]) == 0
    assert "odd" in capsys.readouterr().out


def test_an_odd_plan_ends_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shared = row("eu", "us")
    shown(monkeypatch, made("eu", 1, shared, plan="\ud800"), made("us", 2, shared))
    for form in ("table", "json", "nagios", "prometheus"):
        assert run([*LOCAL, "--format", form]) == 0
    capsys.readouterr()


def test_for_nagios_every_failure_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(monkeypatch, *with_another_pair())
    for words in (["nope"], ["--bogus"], ["--warn-lag", "x"], ["--warn-lag", "9", "--crit-lag", "1"], ["UPPER"]):
        assert run([*LOCAL, "--format", "nagios", *words]) == 3
        told = capsys.readouterr().out
        assert (told.startswith("CCR UNKNOWN - "), told.count("\n")) == (True, 1)


def test_otherwise_codes_are_those_of_the_other_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(monkeypatch)
    assert run([*LOCAL, "nope"]) == 4
    assert run([*LOCAL, "--output", "x"]) == 2
    assert run([*LOCAL, "--json", "--format", "nagios"]) == 3
    assert run([*LOCAL, "--json", "--format", "prometheus"]) == 2
    assert run([*LOCAL]) == 0
    assert "no Valkey or Redis services" in capsys.readouterr().out
