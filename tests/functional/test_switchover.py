"""`switchover`: nothing acknowledged is lost, whatever happens; and whatever stops it leaves everything as it was."""

import contextlib
import json
import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.operator import EU, Make, Operator, ended, ends
from tests.support.pairs import (
    SWITCH,
    accepts,
    add_service,
    client,
    deletions,
    is_promoted,
    missing,
    origin,
    paired,
    uri,
)
from tests.support.previews import does_as_shown
from tests.support.wait import until
from tests.support.writers import Load

NOBODY = "valkey://default:x@127.0.0.1:1"
"""Where a writer that is cut finds nobody."""


@pytest.mark.parametrize("megabytes", [0, *(pytest.param(size, marks=pytest.mark.slow) for size in (1, 256))])
def test_no_acknowledged_write_is_lost_and_the_same_command_again_changes_nothing(
    pair: Operator, megabytes: int
) -> None:
    """``megabytes``: of data that are copied and followed as well."""
    big = [f"big:{number}" for number in range(megabytes)]
    with client(pair, "eu") as old:
        for key in big:
            old.set(key, os.urandom(1024 * 1024))
    if big:
        until(lambda: pair.ccr("verify", "eu", "us", "--level", "link").code == 0, "the replica to have it")
    with Load(uri(pair, "eu"), pause=0) as load:
        done = pair.ends(0, *SWITCH, "--json")
        until(lambda: not accepts(pair, "eu"), "the old primary to be closed")  # late answers count
    keys = load.acknowledged
    assert len(keys) > 100
    assert missing(pair, [*keys, *big]) == []
    result = json.loads(done.out)["result"]
    assert result["bytes_not_replicated"] == 0
    assert result["write_outage_ms"] > 0
    assert accepts(pair, "us")
    assert not accepts(pair, "eu")
    before = pair.sandbox.changes()
    again = pair.ends(0, *SWITCH, "--json")
    assert json.loads(again.out)["changed"] is False
    assert pair.sandbox.changes() == before
    assert "hint: to compare them: ccr-avn verify eu us --unlinked" in pair.ccr("verify", "eu", "us").err
    assert "ip_filter" in result["restore"][0]
    assert {"what", "fix"} <= set(result["risks"][0])
    for command in result["restore"]:
        assert pair.types(*shlex.split(command)).code == 0
    assert accepts(pair, "eu")


def test_no_acknowledged_write_is_lost_with_tls(make: Make, tls_options: dict[str, Path]) -> None:
    ca_file = str(tls_options["tls_ca"])
    operator = paired(make(**tls_options))
    service = operator.sandbox.platform.services["eu"]
    address = f"rediss://default:{service.password}@127.0.0.1:{service.port}"
    with Load(address, ca_file) as load:
        operator.ends(0, *SWITCH, "--ca-file", ca_file, "--json")
    keys = load.acknowledged
    with operator.sandbox.servers.admin("us") as new:
        found = [new.exists(*keys[start : start + 1000]) for start in range(0, len(keys), 1000)]
    assert sum(found) == len(keys)


def test_a_check_only_looks(pair: Operator) -> None:
    pair.ends(2, "switchover", "eu", "us")
    assert not is_promoted(pair)
    assert "last drill: none from this machine" in pair.ends(0, "switchover", "eu", "us", "--check").out
    pair.sandbox.servers.cut_replication("us")
    pair.ends(4, "switchover", "eu", "us", "--check", says="--level link")
    assert pair.sandbox.changes() == []


def test_a_strangers_service_is_refused_and_the_primary_untouched(pair: Operator) -> None:
    add_service(pair, "stranger", "startup-4", EU)
    before = pair.sandbox.changes()
    for words in (("eu", "stranger"), ("stranger", "us"), ("eu", "nobody")):
        pair.ends(4, "switchover", *words, "--yes")
    pair.ends(2, "switchover", "eu", "eu", "--yes")
    assert pair.sandbox.changes() == before
    assert accepts(pair, "eu")


def test_all_findings_are_shown_at_once(pair: Operator) -> None:
    pair.avn("service", "update", "eu", "--enable-termination-protection")
    pair.sandbox.servers.cut_replication("us")
    pair.ends(4, *SWITCH, "--old-primary", "power-off", says=("protected", "master_link_status"))


HELD_UP = ("--before", "bash -c 'ccr-avn sandbox outage us --kind cut && ccr-avn gate accepts-writes eu'")
"""Between the checks and the fence something is written that the replica lacks, until it is healed."""


def test_a_replica_that_does_not_catch_up_un_fences(pair: Operator) -> None:
    pair.ends(5, *SWITCH, "--catch-up-timeout", "1", *HELD_UP, says="bytes behind")
    assert accepts(pair, "eu")
    assert not is_promoted(pair)


def lifted(operator: Operator) -> None:
    with client(operator, "eu") as other:
        other.client_unpause()
        other.set("past", "x")


def failed_over(operator: Operator) -> None:
    operator.sandbox.servers.restart("eu")


@pytest.mark.parametrize(("act", "says"), [(lifted, "somebody lifted it"), (failed_over, "a different process")])
def test_a_fence_that_somebody_else_ended_is_noticed(
    pair: Operator, act: Callable[[Operator], None], says: str
) -> None:
    """The replica has what came through as well: only the last look can tell."""
    child = pair.start("ccr-avn", *SWITCH, *HELD_UP)
    child.tells("fence: done")
    act(pair)
    pair.sandbox.servers.heal("us")
    done = ends(child, 4, says=says)
    assert "caught-up: ok" in done.err
    assert not is_promoted(pair)
    assert accepts(pair, "eu")


def test_a_powered_off_old_primary_has_no_more_than_the_new_one(pair: Operator) -> None:
    with Load(uri(pair, "eu")) as load:
        pair.ends(0, *SWITCH, "--old-primary", "power-off")
    assert pair.sandbox.platform.services["eu"].powered is False
    assert missing(pair, load.acknowledged) == []


def test_open_acknowledges_nothing_late(pair: Operator) -> None:
    """What writers were promised before the fence is there."""
    with Load(uri(pair, "eu")) as load:
        pair.ends(0, *SWITCH, "--old-primary", "open", says="split brain")
    assert accepts(pair, "eu")
    fenced = load.silence()[0]
    assert missing(pair, [key for key in load.acknowledged if load.moment(key) <= fenced]) == []


def test_hold_keeps_writes_out_until_ctrl_c(pair: Operator) -> None:
    with Load(uri(pair, "eu")) as load:
        child = pair.start("ccr-avn", *SWITCH, "--old-primary", "hold")
        child.tells("hold: ")
        for writer in load.writers:
            writer.uri = NOBODY
        child.send_signal(signal.SIGINT)
        ends(child, 0)
    assert missing(pair, load.acknowledged) == []


def test_a_token_of_another_time_pauses_nothing(pair: Operator) -> None:
    stale = ".".join(("a" * 40, "b" * 40, "100", "5", "1700000000"))
    pair.ends(4, "gate", "fence-held", "eu", "us", "--token", stale, "--ttl", "30", says="did not hold")
    assert accepts(pair, "eu")


FENCE_TTL = 3.0


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("fence: done", signal.SIGKILL),
        ("promote: avn", signal.SIGINT),
    ],
)
def test_ended_on_its_way_nothing_is_lost_and_the_same_command_finishes(
    pair: Operator, line: str, number: signal.Signals
) -> None:
    """Ended when the line shows; the fence is short, so that it runs out while we watch.

    Behind the promotion the fence may run out before the next run begins: what the old primary then takes is on it
    alone, and the run that finishes says so. How far the first got is seen by who sent the deletion: on a busy machine
    the signal may arrive late, and an avn that has begun outlives its run.
    """
    with Load(uri(pair, "eu")) as load:
        child = pair.start("ccr-avn", *SWITCH, "--fence-ttl", f"{FENCE_TTL:g}", "--promote-timeout", "5")
        seen = child.tells(line)
        child.send_signal(number)
        done = ended(child)
        assert done.code in ((0, -number) if number == signal.SIGKILL else (0, 128 + number, 138 + number)), (
            seen + done.err
        )
        if not is_promoted(pair):
            until(lambda: accepts(pair, "eu"), "the fence to run out")
        again = pair.ccr(*SWITCH)
        assert again.code in (0, 16), again.err
    assert is_promoted(pair)
    lost = missing(pair, load.acknowledged)
    assert not lost or again.code == 16, "what only the old primary has is told"
    if "promote: avn service integration-delete" in again.err:
        assert lost == []
        assert again.code == 0, again.err
    began, over = load.silence()
    assert not lost or over - began > FENCE_TTL - 1, "lost without a fence that ran out"
    assert [key for key in lost if load.moment(key) < over] == []


def test_two_operators_at_once(pair: Operator) -> None:
    with Load(uri(pair, "eu")) as load:
        both = [pair.start("ccr-avn", *SWITCH) for _ in range(2)]
        codes = [ended(one) for one in both]
    for one in codes:  # the later one may find the old primary closed before it could ask it, and then says so
        assert one.code in (0, 4) or (one.code == 16 and "eu may have writes that us lacks" in one.err), one.err
    assert len(deletions(pair)) <= 1, "one of them promotes, the other sees it"
    unsure = {one.code for one in codes} & {16}  # and is as true when it is run again
    assert pair.ccr(*SWITCH).code in {0, *unsure}
    assert len(deletions(pair)) == 1
    assert is_promoted(pair)
    assert missing(pair, load.acknowledged) == []


def test_a_pasted_preview_ends_in_the_same_world(make: Make) -> None:
    """Also where the promotion drops every connection, and no filter was ever set."""
    pasted, run = (paired(make(promote_restart=True, promote_seconds=1.0)) for _ in range(2))
    pasted.sandbox.platform.services["eu"].user_config.pop("ip_filter")
    text = pasted.ccr("switchover", "eu", "us", "--dry-run", "--poll-interval", "1").out
    done = pasted.pastes(text)
    assert done.code == 0, done.err
    finished = run.ends(0, *SWITCH)
    assert world(pasted) == world(run)
    assert pasted.sandbox.platform.services["eu"].user_config["ip_filter"] == ["192.0.2.1/32"]
    does_as_shown(text, finished.err)
    with client(pasted, "us") as new:
        assert new.set("x", "y")


def world(operator: Operator) -> tuple[object, ...]:
    platform = operator.sandbox.platform
    services = [
        (one.name, one.user_config["ip_filter"], origin(operator, one.name), one.powered)
        for one in platform.services.values()
    ]
    return sorted(services, key=str), len(platform.rows)


def test_hooks_and_the_env_file(pair: Operator, tmp_path: Path) -> None:
    (tmp_path / "hook").write_text('#!/bin/sh\necho "$CCR_NEW_PRIMARY $CCR_CHANGED"; env | grep ^CCR_ >"$1"\n')
    (tmp_path / "hook").chmod(0o755)
    file = tmp_path / "app.env"
    hooks = ("--before", f"{tmp_path}/hook before", "--after", f"{tmp_path}/hook after")
    pair.ends(4, *SWITCH, "--before", "false", "--on-failure", f"{tmp_path}/hook failed")
    assert "CCR_COMMAND=switchover" in (tmp_path / "failed").read_text()
    assert not is_promoted(pair)
    pair.ends(0, *SWITCH, *hooks, "--write-env", str(file), says="after| us yes")
    told = dict(line.split("=", 1) for line in (tmp_path / "after").read_text().splitlines() if "=" in line)
    assert told["CCR_NEW_URI"] == uri(pair, "us")
    assert file.stat().st_mode & 0o777 == 0o600
    assert f"REDIS_URL='{uri(pair, 'us').replace('valkey:', 'redis:')}'" in file.read_text()
    pair.ends(0, *SWITCH, "--after", "sleep 600", "--hook-timeout", "0.2")


def test_no_secret_is_anywhere_but_where_it_belongs(pair: Operator) -> None:
    seen: list[str] = []
    child = pair.start("ccr-avn", *SWITCH, "--json")

    def over() -> bool:
        for one in Path("/proc").glob("[0-9]*"):
            if int(one.name) != os.getpid():
                with contextlib.suppress(OSError):
                    seen.append((one / "cmdline").read_text(errors="replace"))
        return child.poll() is not None

    until(over, "it to end", pause=0.02)
    done = ends(child, 0)
    files = [path.read_text(errors="replace") for path in pair.sandbox.home.rglob("*") if path.is_file()]
    text = "".join([done.out, done.err, *seen, *files])
    assert any("promote" in one for one in files)
    for service in pair.sandbox.platform.services.values():
        assert service.password not in text
    assert pair.sandbox.token not in text
    assert service.password in pair.ccr("endpoint", service.name, "--format", "uri").out


@pytest.mark.slow
def test_an_unwritable_journal_warns_and_stops_nothing(pair: Operator) -> None:
    pair.ends(0, *SWITCH, CCR_AVN_STATE_DIR="/proc/nowhere", says="journal can't be written")


def test_what_is_asked_the_wrong_way_round_is_refused(pair: Operator) -> None:
    """A pause on the replica would hold nothing back; offsets the other way round are "equal" as well."""
    pair.ends(4, "fence", "us", "--ttl", "30", says="us is a replica")
    with client(pair, "us") as replica:
        assert replica.info("clients").get("paused_actions", "none") == "none"
    pair.ends(4, "gate", "caught-up", "us", "eu", says="us is a replica")
    for command, more in (("switchover", ["--yes"]), ("verify", []), ("watch", ["--for", "1"])):
        pair.ends(4, command, "us", "eu", *more, says=f"hint: ccr-avn {command} eu us")
