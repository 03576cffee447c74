"""The step that compares both sides before a switchover: what an application would meet on the new primary."""

from ccr_avn.dataplane.parity import Planes, read_planes
from ccr_avn.errors import Unreachable
from ccr_avn.gates import parity
from ccr_avn.models import Service
from ccr_avn.plan import Probe, Seen, Step
from ccr_avn.procedures.steps import Setting, endpoint


def compare_sides(
    setting: Setting,
    primary: str,
    replica: str,
    services: Step[tuple[Service, ...]],
    options: tuple[str, ...] = (),
) -> Step[Planes | None]:
    """Differences are warnings with their values. A side that can't be reached is another check's matter.

    ``options``: those of the switchover, so that a pasted ``--check`` allows what the run does.
    """

    def look(seen: Seen) -> Planes | None:
        found = {one.name: one for one in seen.of(services)}
        if primary not in found or replica not in found or found[replica].source != primary:
            return None
        try:
            return read_planes(endpoint(found[primary], setting), endpoint(found[replica], setting))
        except Unreachable:
            return None

    return Step(
        slug="parity",
        purpose="compare rights, settings, versions, functions and clocks of both sides",
        look=Probe(("ccr-avn", "switchover", primary, replica, *setting.options, *options, "--check"), look),
        by_hand=f"avn service get {primary} --json, avn service get {replica} --json",
        gate=parity.are_alike(setting.project, services, primary, replica),
    )
