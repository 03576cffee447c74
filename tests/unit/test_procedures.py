"""Procedures as plain values: their order, their argv, their previews; and that avn's own parser accepts every argv."""

import contextlib
import io
import itertools
import shlex
from typing import Any

import pytest
from aiven.client.cli import AivenCLI

from ccr_avn.avn import Project
from ccr_avn.errors import UsageError
from ccr_avn.plan import Call, Later, Plan, Probe
from ccr_avn.preview import describe, preview
from ccr_avn.procedures.enable import EnableRequest, plan_enable
from ccr_avn.procedures.failover import FailoverRequest, plan_failover
from ccr_avn.procedures.steps import Setting
from ccr_avn.procedures.switchover import SwitchoverRequest, plan_switchover
from ccr_avn.procedures.verify import VerifyRequest, plan_verify

SETTING = Setting(project=Project("p"))


def enable_plans() -> list[Plan]:
    flags: tuple[Any, ...] = ("read-replica-for", "service-integration")
    return [
        plan_enable(
            EnableRequest(
                primary="eu",
                replica="us",
                setting=Setting(project=Project(project)),
                primary_cloud=cloud,
                replica_cloud="aws-us-east-1",
                service_type=kind,
                replica_flag=flag,
                flag_was_asked=asked,
                verify=verify,
                replica_args=("-c", "valkey_timeout=1"),
            )
        )
        for project, cloud, kind, flag, asked, verify in itertools.product(
            ("p", None), ("c-1", None), ("redis", None), flags, (True, False), (True, False)
        )
    ]


def switching_plans() -> list[Plan]:
    fates: tuple[Any, ...] = ("close", "power-off", "hold", "open")
    over = [
        plan_switchover(SwitchoverRequest(primary="eu", replica="us", setting=SETTING, run="r", old_primary=fate)).plan
        for fate in fates
    ]
    return [*over, plan_failover(FailoverRequest(replica="us", setting=SETTING, wait_automatic=5)).plan]


PLANS = [
    *enable_plans(),
    *switching_plans(),
    plan_verify(VerifyRequest(primary="eu", replica="us", setting=SETTING)),
]


def test_a_pasted_check_lets_through_what_the_run_does() -> None:
    given = {"primary": "eu", "replica": "us", "setting": SETTING, "run": "r"}
    want = SwitchoverRequest(**given, allow_smaller=True, max_lag_bytes=7)  # type: ignore[arg-type]
    [argv] = [step.look.argv for step in plan_switchover(want).plan.checks if step.slug == "parity"]
    assert argv[-4:] == ("--max-lag-bytes", "7", "--allow-smaller", "--check")


def calls(plan: Plan) -> list[tuple[str, ...]]:
    every = [call for step in plan.all_steps for call in (step.look, step.change) if isinstance(call, Call)]
    return [tuple("x" if isinstance(word, Later) else word for word in call.argv) for call in every]


def test_the_installed_avns_parser_accepts_every_argv() -> None:
    argvs = {argv for plan in PLANS for argv in calls(plan)} - {("avn", "service", "create", "--help")}
    assert len(argvs) > 10
    for argv in sorted(argvs):
        if "--service-integration" in argv:
            continue  # in no avn released so far: `--replica-flag` finds that out before any change
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            try:
                AivenCLI().parse_args(list(argv[1:]))
            except SystemExit:
                pytest.fail(f"{shlex.join(argv)}: {errors.getvalue()}")


def test_our_own_parser_accepts_every_command_of_a_preview() -> None:
    from typer.main import get_command

    from ccr_avn.cli import app

    commands: Any = get_command(app)
    argvs = {
        tuple(str(word) for word in part.argv[1:])
        for plan in PLANS
        for step in plan.all_steps
        for part in (step.look, step.change)
        if isinstance(part, Probe) and part.argv[0] == "ccr-avn"
    }
    assert len(argvs) > 8
    for name, *words in sorted(argvs):
        commands.commands[name].make_context(name, list(words))


def test_every_read_asks_for_json_and_every_change_does_not() -> None:
    for plan in PLANS:
        for step in plan.all_steps:
            if isinstance(step.look, Call) and "--help" not in step.look.argv:
                assert "--json" in step.look.argv
            if isinstance(step.change, Call):
                assert "--json" not in step.change.argv


def test_the_steps_of_enable_in_order() -> None:
    request = EnableRequest(
        primary="eu", replica="us", setting=SETTING, primary_cloud="c", replica_cloud="d", flag_was_asked=True
    )
    plan = plan_enable(request)
    assert [step.slug for step in plan.checks] == ["flag", "pair", "offers", "vpc"]
    assert [step.slug for step in plan.steps] == [
        "primary",
        "primary-running",
        "primary-backup",
        "replica",
        "replica-running",
        "integration",
        "link",
        "databases",
        "marker",
    ]


def test_the_changes_of_a_preview_are_those_of_the_run_word_for_word() -> None:
    for plan in [*enable_plans(), *switching_plans()]:
        lines = {tuple(shlex.split(line)) for line in preview(plan).splitlines() if line.strip().startswith("avn ")}
        changes = [step.change.argv for step in plan.all_steps if isinstance(step.change, Call)]
        assert changes
        for argv in changes:
            words = tuple(f"${{{word.variable}:?}}" if isinstance(word, Later) else word for word in argv)
            assert words in lines


def test_the_reads_of_a_preview_are_those_of_the_run() -> None:
    """The same question about the same service; how the answer is formatted differs."""
    for plan in [*enable_plans(), *switching_plans()]:
        text = preview(plan)
        for step in plan.all_steps:
            if isinstance(step.look, Call) and not step.change:
                verb = " ".join(str(word) for word in step.look.argv[:3])
                asked = [line for line in text.splitlines() if verb in line]
                names = [str(word) for word in step.look.argv[3:] if word in ("eu", "us")]
                assert asked
                assert all(any(name in line for line in asked) for name in names), (verb, names)


def test_the_preview_guards_its_holes() -> None:
    assert '-t "${service_type:?}"' in preview(
        plan_enable(EnableRequest(primary="eu", replica="us", setting=SETTING, primary_cloud="c", replica_cloud="d"))
    )


def test_another_avn_is_named_in_the_preview() -> None:
    plan = plan_enable(EnableRequest(primary="eu", replica="us", setting=SETTING, replica_cloud="d"))
    text = preview(plan, "/opt/my avn")
    assert "'/opt/my avn' service list" in text
    assert describe(plan, "/opt/my avn")["steps"][0]["read"][0] == "/opt/my avn"
    assert " avn service" not in text.replace("'/opt/my avn'", "X").replace(": avn service", "")


def test_the_steps_of_a_switchover_in_order() -> None:
    plan = switching_plans()[0]
    assert [step.slug for step in plan.checks] == ["pair", "integration", "health", "databases", "parity"]
    assert [step.slug for step in plan.steps] == [
        "fence",
        "caught-up",
        "seal",
        "promote",
        "history",
        "accepts-writes",
        "origin",
        "integration-gone",
        "running",
        "audit",
        "close",
        "closed",
    ]


def test_between_fence_and_first_write_avn_is_started_once() -> None:
    """Every start of avn inside the fence is outage."""
    for plan in switching_plans():
        slugs = [step.slug for step in plan.steps]
        inside = plan.steps[: slugs.index("accepts-writes") + 1]
        looks = [step.slug for step in inside if isinstance(step.look, Call)]
        changes = [step.slug for step in inside if isinstance(step.change, Call)]
        assert (looks, changes) == ([], ["promote"])
        assert [step.slug for step in plan.steps if step.final] == ["promote"]


def test_a_link_keeps_to_the_lag_that_it_names() -> None:
    link = plan_verify(VerifyRequest(primary="eu", replica="us", setting=SETTING, level="link", max_lag=4711)).steps[0]
    assert "4711" in link.gate.rule
    assert link.look.argv[-2:] == ("--max-lag-bytes", "4711")


def test_a_pasted_switchover_lifts_its_fence_until_it_promotes() -> None:
    text = preview(switching_plans()[0])
    assert text.index("trap 'ccr-avn unfence eu") < text.index("ccr-avn fence eu")
    assert text.index("trap - EXIT") < text.index("avn service integration-delete")


def test_a_pair_has_two_sides() -> None:
    with pytest.raises(UsageError):
        EnableRequest(primary="eu", replica="eu", setting=SETTING)
    with pytest.raises(UsageError):
        VerifyRequest(primary="eu", replica="eu", setting=SETTING)
