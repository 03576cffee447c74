"""Steps that switchover and failover share: promote, see writes accepted, see the control plane agree."""

import shlex
import time

from ccr_avn import avn
from ccr_avn.dataplane.connect import Endpoint
from ccr_avn.dataplane.link import Side, look_at
from ccr_avn.dataplane.writes import accepts_write
from ccr_avn.errors import Refused, Unreachable
from ccr_avn.gates import switch
from ccr_avn.models import Integration, Service, Tag
from ccr_avn.plan import Finding, Gate, Later, Paste, Poll, Probe, Seen, Step, Word, go, wait
from ccr_avn.procedures.held import Measured
from ccr_avn.procedures.steps import Find, Setting, counting, endpoint, wait_running

FAST = 0.005
"""Seconds between the first looks while applications wait."""


def look_at_integration(setting: Setting, primary: str | None, replica: str) -> Step[tuple[Integration, ...]]:
    """Before the fence: each start of avn inside it would be outage."""
    call = avn.integration_list(setting.project, replica)
    source = f' && $2 == "{primary}"' if primary else ""
    template = "{integration_type} {source_service} {dest_service} {enabled} {service_integration_id}"
    pick = f"""awk '$1 == "read_replica"{source} && $3 == "{replica}" && $4 == "True" {{ print $5 }}'"""

    missing = f"no read_replica integration feeds {replica}" + (f" from {primary}" if primary else "")

    def judge(rows: tuple[Integration, ...], _: Seen) -> Finding:
        row = switch.feeding(rows, primary, replica)
        return go(f"integration {row.id}" if row else "no read_replica integration: was it promoted already?")

    return Step(
        slug="integration",
        purpose=f"find the read_replica integration that feeds {replica}",
        look=call,
        gate=Gate("it was looked for", judge),
        pastes=(
            Paste(
                read=avn.formatted(call, template),
                filter=pick,
                go="?*",
                variable="integration_id",
                stop=(("*", missing),),
            ),
        ),
    )


def promote(
    setting: Setting,
    replica: str,
    find: Find,
    rows: Step[tuple[Integration, ...]],
    limit: float,
    fenced: str = "",
) -> Step[Side]:
    """Irreversible: a read_replica can only be made together with its service. ``fenced``: who is held back meanwhile."""

    def integration_id(seen: Seen) -> str:
        row = switch.feeding(seen.of(rows), None, replica)
        if row is None or row.id is None:
            raise Refused(
                f"{replica} follows nobody and accepts no writes either",
                detail="there is no read_replica integration to delete",
                hint=f"wait for the promotion under way: avn service get {replica}, then run the same command again",
            )
        return row.id

    def judge(side: Side, _: Seen) -> Finding:
        if side.role != "master":
            return wait(f"its role is {side.role}")
        return go("its role is master")

    hint = (
        f"run the same command again; {replica} is a replica still if `avn service integration-list {replica}` lists it"
    )
    if fenced:
        lift = shlex.join(("ccr-avn", "unfence", fenced, *setting.options))
        hint += (
            f". If writes on {fenced} are still held back, that ends by itself within {limit:g} s; `{lift}` ends it now"
        )
    gone = Step(
        slug="promote-doubt",
        purpose="see whether the integration is gone",
        look=avn.integration_list(setting.project, replica),
        gate=switch.is_gone(replica),
    )
    words = (*setting.options, "--timeout", f"{limit:g}")
    return Step(
        slug="promote",
        purpose=f"promote {replica}: it stops following and accepts writes; this can't be undone",
        look=Probe(
            ("ccr-avn", "accepts-writes", replica, *words), lambda seen: look_at(_at(setting, find, seen, replica))
        ),
        gate=Gate(f"the role of {replica} is master", judge),
        poll=Poll(limit=limit, first=FAST, interval=0.1),
        change=avn.integration_delete(
            setting.project, Later(variable="integration_id", fill=integration_id), hint=hint
        ),
        final=True,
        doubt=gone,
    )


def accepts_writes(setting: Setting, replica: str, find: Find, measured: Measured, limit: float) -> Step[bool]:
    def look(seen: Seen) -> bool:
        if not accepts_write(_at(setting, find, seen, replica)):
            return False
        measured.accepted = measured.accepted or time.monotonic()
        return True

    def judge(accepted: bool, _: Seen) -> Finding:
        return go("a write was accepted and read back") if accepted else wait("it does not accept writes yet")

    words = (*setting.options, "--timeout", f"{limit:g}")
    return Step(
        slug="accepts-writes",
        purpose=f"write to {replica} and read it back: here the outage ends",
        look=Probe(("ccr-avn", "accepts-writes", replica, *words), look),
        gate=Gate("a write is accepted and read back", judge),
        poll=Poll(limit=limit, first=FAST, interval=0.1, hint=f"look at it: avn service get {replica}"),
    )


def remember_origin(setting: Setting, replica: str, primary: str | Later) -> Step[tuple[Tag, ...]]:
    """What the platform forgets is left on the service as a tag, where permissions allow."""
    call = avn.tags_list(setting.project, replica)

    def judge(tags: tuple[Tag, ...], seen: Seen) -> Finding:
        name = primary.fill(seen) if isinstance(primary, Later) else primary
        if not name:
            return go("nothing to remember: it is not known")
        found = any((tag.key, tag.value) == (switch.TAG, name) for tag in tags)
        return go(f"tag {switch.TAG}={name}") if found else wait("not tagged")

    shown = f"${{{primary.variable}}}" if isinstance(primary, Later) else primary
    change = avn.tags_update(setting.project, replica, _tag(primary))
    return Step(
        slug="origin",
        purpose=f"remember on {replica} which primary it was promoted from",
        look=call,
        gate=Gate("its tag says so", judge),
        poll=Poll(limit=10, first=0.2, interval=1),
        change=change,
        pastes=(_tag_guard(call.argv, shown),),
        optional=True,
    )


def _tag(primary: str | Later) -> Word:
    if isinstance(primary, str):
        return f"{switch.TAG}={primary}"
    name = primary
    return Later(variable="origin_tag", fill=lambda seen: f"{switch.TAG}={name.fill(seen)}")


def _tag_guard(argv: tuple[Word, ...], primary: str) -> Paste:
    """Tags can only be read as JSON."""
    wanted = f'\\"key\\":\\"{switch.TAG}\\",\\"value\\":\\"'
    count = f"""awk -v name="{primary}" '{{ print index($0, "{wanted}" name "\\"") ? 1 : 0 }}'"""
    return Paste(read=argv, filter=f"tr -d ' \\n' | {count}", go="1")


def control_plane_agrees(
    setting: Setting, replica: str, limit: float
) -> tuple[Step[tuple[Integration, ...]], Step[Service]]:
    call = avn.integration_list(setting.project, replica)
    template = "{integration_type} {dest_service} {enabled}"
    gone = Step(
        slug="integration-gone",
        purpose=f"see that nothing feeds {replica} any more",
        look=call,
        gate=switch.is_gone(replica),
        poll=setting.poll(limit),
        pastes=(Paste(read=avn.formatted(call, template), filter=counting(f"read_replica {replica} True"), go="0"),),
    )
    return gone, wait_running(setting, replica, "running", limit)


def reachable(setting: Setting, service: Service) -> tuple[Side | None, str]:
    """One side, or why it can't be asked."""
    try:
        return look_at(endpoint(service, setting)), ""
    except Unreachable as trouble:
        return None, f"{trouble.what}: {trouble.detail}"


def _at(setting: Setting, find: Find, seen: Seen, name: str) -> Endpoint:
    return endpoint(find(seen, name), setting)
