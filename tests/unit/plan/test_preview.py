"""What `--dry-run` prints is made of the plan: the changes word for word, and one line a gate that runs its very step."""

import re
from typing import Any

from ccr_avn.plan.model import Call, Later, Plan, Step, Word
from ccr_avn.plan.preview import changes, describe, preview
from ccr_avn.procedures.enable import Enable
from tests.support.plans import PLANS, SETTING, drill_plans, enable_plans, switching_plans
from tests.support.previews import HOLE, commands

NEW = Enable(primary="eu", replica="us", at=SETTING, primary_cloud="c", replica_cloud="d")
SHOWN = [*enable_plans(), *switching_plans()]


def shown(argv: tuple[Word, ...]) -> list[str]:
    return [f"${{{word.variable}:?}}" if isinstance(word, Later) else word for word in argv]


def test_the_changes_of_a_preview_are_those_of_the_run_in_order_and_word_for_word() -> None:
    for plan in SHOWN:
        changes = [shown(step.change.argv) for step in plan.all_steps if isinstance(step.change, Call)]
        assert [words for words in commands(preview(plan)) if words[0] == "avn"] == changes
        assert changes


def gates(step: Step[Any]) -> list[list[str]]:
    """The commands that run this step of a run alone."""
    if step.keeps:
        return [shown(keep.argv) for keep in step.keeps]
    if step.command or step.change:
        return [shown(step.command or step.change.argv)]  # type: ignore[union-attr]
    return [shown(step.look)] if step.look else []


def test_every_gate_of_a_run_is_in_its_preview() -> None:
    for plan in SHOWN:
        text = preview(plan)
        lines = commands(text)
        assert shown(plan.check) in lines, "one command runs the checks"
        assert plan.check[-1] == "--check"
        for step in plan.checks:
            assert f"# first: {step.purpose}" in text
        for step in plan.steps:
            assert all(words in lines for words in gates(step)), step.slug


def test_our_own_parser_accepts_every_command_of_every_preview() -> None:
    from ccr_avn.cli import load

    lines = {tuple(words[1:]) for plan in SHOWN for words in commands(preview(plan)) if words[0] == "ccr-avn"}
    lines |= {tuple(shown(step.look)[1:]) for plan in PLANS for step in plan.all_steps if step.look[:1] == ("ccr-avn",)}
    assert len(lines) > 30
    for name, *words in sorted(lines):
        command = load(name)
        rest = list(words)
        if name == "gate":
            command = command.commands[rest.pop(0)]
        assert not command.hidden, name
        command.make_context(name, rest)


def test_a_preview_holds_no_rules_of_its_own() -> None:
    for plan in SHOWN:
        for line in preview(plan).splitlines():
            assert line.startswith("#") or not re.search(r"(^|[;|&( ])(awk|grep|sed|while|until|for|case) ", line), line


def test_every_hole_is_filled_before_it_is_used_and_refuses_to_be_empty() -> None:
    for plan in SHOWN:
        filled: set[str] = set()
        for line in preview(plan).splitlines():
            if line.startswith("#"):
                continue
            used = set(re.findall(r"\$\{?(\w+)", line))
            assert used <= filled, line
            assert len(HOLE.findall(line)) == line.count("${"), line
            filled |= set(re.findall(r"^(\w+)=", line))


def test_creations_are_guarded() -> None:
    lines = preview(NEW.plan()).splitlines()
    for name, variable in (("eu", "primary"), ("us", "replica")):
        [at] = [number for number, line in enumerate(lines) if line.startswith(f"  avn service create {name} ")]
        assert lines[at - 1] == f'if [ "${variable}" = missing ]; then'
        assert lines[at - 2].startswith(f'{variable}="$(ccr-avn gate exists {name} ')
    adopted = preview(Enable(primary="eu", replica="us", at=SETTING, replica_cloud="d").plan())
    assert "create eu" not in adopted
    assert "# assumes that eu exists" in adopted


def test_a_pasted_switchover_lifts_its_fence_until_it_promotes() -> None:
    text = preview(switching_plans()[0])
    unmark = "avn service tags update us --project p --remove-tag ccr_promoting' EXIT"
    assert text.index(f"trap '{unmark}") < text.index('--add-tag "${promoting_tag:?}"')
    both = unmark.replace("' EXIT", " || true; ccr-avn unfence eu --project p' EXIT")
    assert text.index(f"trap '{both}") < text.index("ccr-avn fence eu")
    assert text.index("trap - EXIT") < text.index("avn service integration-delete")


def test_a_tag_that_can_not_be_set_leaves_the_old_primary_not_open() -> None:
    text = preview(switching_plans()[0])
    assert re.search(r"^avn service tags update .* \|\|$", text, re.MULTILINE)


def test_every_gate_says_how_to_look_by_hand() -> None:
    for plan in SHOWN:
        for line in preview(plan).splitlines():
            if line.startswith(("# first: ", *(f"# {number}. " for number in range(50)))):
                assert "(by hand: avn " in line or re.search(r"(pause|resume|keep) writes", line), line


MY_AVN = {"avn": "/opt/my avn"}


def test_the_data_of_a_preview_names_the_gates() -> None:
    plan: Plan = NEW.plan()
    told = describe(plan, MY_AVN)
    assert told["check"] == list(plan.check)
    assert told["steps"][0]["read"][0] == "/opt/my avn"
    by_slug = {one["slug"]: one["gate"] for one in told["steps"]}
    assert by_slug["integration"] == ["ccr-avn", "gate", "active", "eu", "us", "--project", "p", "--timeout", "1200"]
    assert by_slug["pair"] is None


def test_a_drill_is_shown_by_its_avn_lines_alone_and_can_not_be_pasted() -> None:
    for plan in drill_plans():
        text = changes(plan, MY_AVN)
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        assert [line.split()[2:4] for line in lines] == [
            list(step.change.argv[1:3]) for step in plan.steps if isinstance(step.change, Call)
        ]
        assert all(line.startswith("'/opt/my avn' service ") for line in lines)
        assert "<integration_id>" in text
        assert "ccr-avn" not in text


def test_every_program_is_looked_for_before_anything_is_done() -> None:
    for plan in SHOWN:
        first, second, *rest = [line for line in preview(plan).splitlines() if not line.startswith("#")][1:]
        assert first.startswith("command -v ccr-avn >")
        assert second.startswith("command -v avn >")
        assert not any(line.startswith("command -v") for line in rest)


def test_programs_that_path_does_not_have_are_named_by_their_path() -> None:
    text = preview(switching_plans()[0], {"avn": "/opt/x/avn", "ccr-avn": "/opt/x/ccr-avn"})
    assert "; /opt/x/ccr-avn unfence eu" in text
    commands = [line for line in text.splitlines() if not line.startswith(("#", "trap", "(", ")", " ", "if", "fi"))]
    assert all("/opt/x/" in line for line in commands), commands


def test_the_header_says_which_lines_change_something() -> None:
    fenced, *_, observed = [preview(plan) for plan in switching_plans()[:5]]
    changing = "avn, ccr-avn fence, ccr-avn gate fence-held, ccr-avn unfence."
    assert f"# These lines change something: {changing}" in fenced
    assert "# ccr-avn gate accepts-writes writes test keys." in fenced
    assert "# These lines change something: avn.\n" in observed
    assert "# ccr-avn gate marker writes test keys." in preview(NEW.plan())
