"""What a failover knows of a lost pair: what is whole, what is said of what is not, and what is done out of reach."""

from typing import Any

import pytest

from ccr_avn.aiven import lineage, models
from ccr_avn.aiven.avn import Project
from ccr_avn.aiven.lineage import Origin, Recorded
from ccr_avn.errors import Unreachable
from ccr_avn.plan.model import Finding
from ccr_avn.procedures.failover import Failover
from ccr_avn.procedures.gates.pair_state import PairState, pair_state
from ccr_avn.procedures.last_known import judge_loss, out_of_reach
from ccr_avn.procedures.seen import Seen, Sides
from ccr_avn.procedures.setting import Setting
from ccr_avn.valkey.diagnose import Unresolved
from tests.support.factories import fact, journals, row, side

ROW = row("eu", "us", service_integration_id="5f0c")
FOLLOWING = PairState(state="following")


def asked(*recorded: Recorded, **more: Any) -> Failover:
    at = Setting(project=Project("p"), journals=journals(*recorded))
    return Failover(**{"replica": "us", "at": at, "allow_data_loss": True, **more})


AT = asked().at


NEVER: dict[str, Any] = {"offset": 1, "link_status": "down", "last_io_seconds": None, "keys": 0}


def known(more: dict[str, Any], **facts: Any) -> Sides:
    """What is known of a replica of this kind."""
    return Sides(**{"replica": side("slave", **more), "primary": None, "state": FOLLOWING, **facts})


@pytest.mark.parametrize(
    ("replica", "whole"),
    [
        (NEVER, False),
        ({**NEVER, "offset": 0}, False),
        ({**NEVER, "sync_in_progress": True}, False),
        ({**NEVER, "offset": 14, "backlog": True, "sync_in_progress": True}, False),
        ({**NEVER, "offset": 14, "backlog": True, "loading": True}, False),
        ({**NEVER, "offset": 14, "backlog": True}, True),
        ({**NEVER, "offset": 0, "backlog": True}, True),
        ({**NEVER, "offset": 14}, True),
        ({**NEVER, "offset": 0, "link_status": "up"}, True),
        ({**NEVER, "offset": 14, "rejected": 2}, False),
    ],
    ids=str,
)
def test_whole_means_that_it_once_had_all_of_its_primary(replica: dict[str, Any], whole: bool) -> None:
    """The values are those that Valkey 9 and Redis 7 answer before, during and after a first copy."""
    refused = judge_loss(AT, asked(), known(replica), "eu")
    assert refused.verdict == ("go" if whole else "stop")
    assert whole or "--force-partial" in refused.hint
    assert judge_loss(AT, asked(allow_data_loss=False), known(replica), "eu").verdict == "stop", "loss has its flag"
    forced = judge_loss(AT, asked(force_partial=True), known(replica), "eu")
    assert forced.verdict == "go"
    if "rejected" not in replica:
        assert whole or "0 keys" in refused.detail
        assert forced.facts["partial"] is not whole


@pytest.mark.parametrize(
    ("looked", "seconds", "word"),
    [
        (known({"last_io_seconds": 3}), 3.0, "frozen"),
        (known({"link_status": "down", "link_down_seconds": 9}), 9.0, "down_since"),
        (known({}, marker_age=4.26), 4.3, "bound"),
        (known({"last_io_seconds": 0}, marker_age=-598.0), None, "from the future"),
        (known({}, replica=side()), None, "does not report it"),
    ],
)
def test_the_loss_is_estimated_and_says_how(looked: Sides, seconds: float | None, word: str) -> None:
    estimate, how = looked.estimate
    assert (estimate, word in how) == (seconds, True)


@pytest.mark.parametrize(
    ("replica", "said", "switches"),
    [
        ({"link_status": "up"}, "eu does answer: `ccr-avn switchover eu us` loses nothing", True),
        ({"link_status": "down"}, "its link is down: if that comes up, `ccr-avn switchover", False),
        ({"link_status": "up", "replid": "b" * 40}, "its link is different replication ID", False),
    ],
)
def test_a_switchover_is_named_where_it_would_go(replica: dict[str, Any], said: str, switches: bool) -> None:
    looked = known(replica, primary=side("master"))
    assert said in "".join(judge_loss(AT, asked(), looked, "eu").warnings)
    refused = judge_loss(AT, asked(allow_data_loss=False), looked, "eu")
    assert ("better: ccr-avn switchover eu us" in refused.hint) is switches


@pytest.mark.parametrize(
    ("primary", "backups", "said"),
    [
        (side(keys=5000), [], "5000 keys now"),
        (None, [{"backup_name": "b-1", "backup_time": "2026-08-01T09:10:00Z", "data_size": 774144}], "774144 bytes"),
        (None, [], "is unknown"),
    ],
)
def test_what_a_partial_replica_holds_is_said_beside_its_primary(primary: Any, backups: list[Any], said: str) -> None:
    looked, old = known(NEVER, primary=primary), fact("eu", backups=backups)
    for finding in (judge_loss(AT, want, looked, "eu", old) for want in (asked(), asked(force_partial=True))):
        assert said in f"{finding.detail} {finding.warnings}"
        assert "0 keys" in f"{finding.detail} {finding.warnings}"


def test_out_of_reach_names_the_integration_and_how_it_is_deleted() -> None:
    trouble = Unreachable("us: no answer", detail="TimeoutError", hint="look at it", passing=True)
    found = out_of_reach(asked().at, fact("us", ROW), trouble)
    assert "avn service integration-delete 5f0c --project p" in found.hint
    assert "ccr-avn failover us --allow-data-loss --no-verify --project p" in found.hint
    assert found.passing
    assert "integration-delete" not in out_of_reach(asked().at, fact("us"), trouble).hint


@pytest.mark.parametrize(("state", "asked_again"), [("RUNNING", False), ("REBUILDING", True)])
def test_a_name_that_is_not_known_here_is_not_asked_for_again_where_the_service_runs(
    state: str, asked_again: bool
) -> None:
    trouble = Unresolved("us: its name is not known here", hint="look at it", passing=True)
    assert out_of_reach(asked().at, fact("us", ROW, state=state), trouble).passing is asked_again


def finding_of(slug: str, want: Failover, *found: models.Service, answer: Any = ()) -> Finding:
    steps = {step.slug: step for step in want.plan().all_steps}
    seen = Seen()
    seen.remember("replica", found)
    return steps[slug].judge(answer, seen)


def test_a_primary_of_another_project_is_not_looked_for_here() -> None:
    theirs = fact("us", {**ROW, "source_project": "theirs", "dest_project": "p"})
    assert "theirs/eu is in another project" in finding_of("primary", asked(), theirs).reason
    plan = asked().plan()
    step = next(one for one in plan.checks if one.slug == "primary")
    seen = Seen()
    seen.remember(plan.checks[0].slug, (theirs,))
    argv = [word if isinstance(word, str) else word.fill(seen) for word in step.look]
    assert "eu" not in argv


@pytest.mark.parametrize(("answer", "said"), [((fact("eu"),), "eu is RUNNING"), ((), "eu is not listed")])
def test_what_is_there_of_the_primary_is_said_as_it_is(answer: tuple[models.Service, ...], said: str) -> None:
    assert finding_of("primary", asked(), fact("us", ROW), answer=answer).reason == said


@pytest.mark.parametrize(
    ("listed", "verdict"),
    [
        ((fact("us", ROW),), "todo"),
        ((fact("us"),), "go"),
        ((fact("us", create_time="2026-01-01T00:00:00Z"),), "stop"),
        ((), "stop"),
    ],
    ids=["follows", "promoted", "a namesake", "gone"],
)
def test_without_a_look_its_integration_is_what_shows_whether_it_was_promoted(listed: Any, verdict: str) -> None:
    assert finding_of("promote", asked(no_verify=True), fact("us", ROW), answer=listed).verdict == verdict


@pytest.mark.parametrize(("allowed", "verdict"), [(True, "go"), (False, "stop")])
def test_without_a_look_nothing_is_proven_and_loss_has_its_flag(allowed: bool, verdict: str) -> None:
    want = asked(no_verify=True, allow_data_loss=allowed)
    finding = finding_of("last-known", want, fact("us", ROW))
    assert finding.verdict == verdict
    assert "nothing is proven" in " ".join(finding.warnings) or "--no-verify" in finding.hint
    slugs = [step.slug for step in want.plan().steps]
    assert slugs == ["marked", "siblings-listed", "promote", "origin", "running", "unmarked"]


@pytest.mark.parametrize(("theirs", "project"), [("p", "p"), ("theirs", "theirs")])
def test_the_power_off_that_is_printed_is_that_of_the_old_primarys_project(theirs: str, project: str) -> None:
    verb, seen = asked(), Seen()
    seen.remember(verb.plan().checks[0].slug, (fact("us", {**ROW, "source_project": theirs, "dest_project": "p"}),))
    assert verb._old_address(seen) == (Project(project), "eu")


def test_a_master_whose_integration_is_listed_is_believed_by_a_record_only() -> None:
    """The address of a replica may lead to another service's server, which is a master as well."""
    listed = fact("us", ROW, create_time="2026-08-01T09:00:00Z")
    there = side("master", replid2="b" * 40)

    def master(*recorded: Recorded) -> Sides:
        state = pair_state(listed.integrations, None, listed, (None, there), recorded, now=0.0)
        return Sides(replica=there, primary=None, state=state)

    refused = finding_of("last-known", asked(), listed, answer=master())
    assert (refused.verdict, "is a master, though" in refused.reason) == ("stop", True)
    born = lineage.created(listed)
    sent = Recorded(new="us", origin=Origin(name="eu", new_created=born, replication_id="b" * 40), proven=True)
    known = asked(sent)
    found = finding_of("last-known", known, listed, answer=master(sent))
    assert (found.verdict, found.facts["replication_id"]) == ("go", "b" * 40)
    seen, steps = Seen(), {one.slug: one for one in known.plan().all_steps}
    seen.remember("replica", (listed,))
    seen.remember("last-known", master(sent))
    writes = steps["accepts-writes"]
    for step in (steps["history"], writes):
        assert step.judge(side("master", replid2="b" * 40), seen).verdict == "go"
        other = step.judge(side("master", replid2="c" * 40), seen)
        assert (other.verdict, "nothing shows that the server" in other.reason) == ("stop", True)
    assert writes.judge("not yet", seen).verdict == "wait"
    seen.remember("primary", (fact("eu", create_time="2026-08-01T08:00:00Z"),))
    assert known._tags(seen)[1].endswith("-" + "b" * 40), "what it followed, not what it is now"
