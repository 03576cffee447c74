"""What becomes of the old primary: shut to writers for good before its fence ends."""

import json
from typing import Any, Literal

from ccr_avn import avn
from ccr_avn.dataplane.writes import lets_clients_in
from ccr_avn.gates import settings
from ccr_avn.models import Service
from ccr_avn.plan import Finding, Gate, Paste, Poll, Probe, Seen, Step, go, wait
from ccr_avn.procedures.held import Held
from ccr_avn.procedures.steps import Find, Setting, endpoint

Fate = Literal["close", "power-off", "hold", "open"]

NOBODY = settings.NOBODY

SHUT_LIMIT = 120.0
"""Seconds the platform may take to put an accepted filter into force."""


def shut(setting: Setting, primary: str, fate: Fate, find: Find, held: Held) -> tuple[Step[Any], ...]:
    """The steps for this fate, in order."""
    if fate == "close":
        return (_close(setting, primary), _closed(setting, primary, find, held))
    if fate == "power-off":
        return (_power_off(setting, primary),)
    if fate == "hold":
        return (_hold(setting, primary, held),)
    return (_open(setting, primary, held),)


def restoring(setting: Setting, service: Service) -> tuple[str, ...]:
    """The commands that open a service again: its filter put back, what is left of the fence lifted."""
    import shlex

    networks = json.dumps(service.user_config.get("ip_filter", ["0.0.0.0/0", "::/0"]))
    words = avn.service_update(setting.project, service.name, "-c", f"ip_filter={networks}").argv
    unfence = ("ccr-avn", "unfence", service.name, *setting.options)
    return shlex.join(str(word) for word in words), shlex.join(unfence)


def _close(setting: Setting, primary: str) -> Step[Service]:
    call = avn.service_get(setting.project, primary)

    def judge(service: Service, _: Seen) -> Finding:
        if service.state == "POWEROFF":
            return go(f"{primary} is powered off")
        if service.user_config.get("ip_filter") == [NOBODY]:
            return go(f"its ip_filter is {NOBODY}")
        return wait("its ip_filter lets clients in")

    return Step(
        slug="close",
        purpose=f"shut {primary} to all clients; its data stays to look at",
        look=call,
        gate=Gate(f"its ip_filter is {NOBODY}, which nobody has", judge),
        poll=Poll(limit=30, first=0.2, interval=2),
        change=avn.service_update(setting.project, primary, "-c", f'ip_filter=["{NOBODY}"]'),
        pastes=(Paste(read=avn.formatted(call, "{user_config[ip_filter]}"), go=f"*{NOBODY}*"),),
    )


def _closed(setting: Setting, primary: str, find: Find, held: Held) -> Step[str]:
    """avn returns when the platform has accepted the filter; closed means that clients are out."""

    def look(seen: Seen) -> str:
        service = find(seen, primary)
        if service.state == "POWEROFF":
            return ""
        if lets_clients_in(endpoint(service, setting)):
            return "new connections are let in"
        if held.kept and not held.kept.was_cut():
            return "a connection from before is still there"
        return ""

    def judge(open_still: str, _: Seen) -> Finding:
        if open_still:
            return wait(open_still)
        if held.kept:
            held.kept.close()
        if held.fence:
            held.fence.close()
        return go("new connections are refused" + (", and the one from before was cut" if held.kept else ""))

    return Step(
        slug="closed",
        purpose=f"see that {primary} is shut; the fence holds until then",
        look=Probe(("ccr-avn", "closed", primary, *setting.options), look),
        gate=Gate("new connections are refused and one from before is cut", judge),
        poll=Poll(
            limit=SHUT_LIMIT,
            first=0.05,
            interval=1,
            hint=f"{primary} may still be open: `avn service update {primary} --power-off` shuts it for sure",
        ),
        optional=True,
    )


def _power_off(setting: Setting, primary: str) -> Step[Service]:
    call = avn.service_get(setting.project, primary)

    def judge(service: Service, _: Seen) -> Finding:
        return go("it is powered off") if service.state == "POWEROFF" else wait(f"it is {service.state}")

    return Step(
        slug="power-off",
        purpose=f"power {primary} off",
        look=call,
        gate=Gate("its state is POWEROFF", judge),
        poll=Poll(limit=SHUT_LIMIT, first=0.2, interval=5),
        change=avn.service_update(setting.project, primary, "--power-off"),
        pastes=(Paste(read=avn.formatted(call, "{state}"), go="POWEROFF"),),
    )


def _hold(setting: Setting, primary: str, held: Held) -> Step[str]:
    """Until Ctrl-C: shows who still tries to write to the old primary."""

    def look(_: Seen) -> str:
        if held.fence is None:
            return ""
        writers = held.fence.writers()
        return "; ".join(str(writer) for writer in writers) or "nobody tries to write"

    def judge(writers: str, _: Seen) -> Finding:
        return wait(f"held until Ctrl-C: {writers}") if writers else go("there is no fence to hold")

    return Step(
        slug="hold",
        purpose=f"keep holding back writes on {primary}",
        look=Probe(("ccr-avn", "fence", primary, *setting.options, "--ttl", "3600"), look),
        gate=Gate("you press Ctrl-C", judge),
        poll=Poll(limit=10.0**9, first=1, interval=5),
    )


def _open(setting: Setting, primary: str, held: Held) -> Step[str]:
    def look(_: Seen) -> str:
        return "fenced" if held.fence else "open"

    def judge(state: str, _: Seen) -> Finding:
        warning = f"{primary} accepts writes again: what it is told now is on it alone (split brain)"
        return go("every client was cut, the fence is lifted", warnings=(warning,)) if state == "open" else wait(state)

    def act(_: Seen) -> None:
        fence, held.fence = held.fence, None
        if fence:
            fence.release_disconnecting()

    return Step(
        slug="open",
        purpose=f"cut all clients of {primary}, then lift the fence",
        look=Probe(("ccr-avn", "unfence", primary, *setting.options, "--disconnect"), look),
        gate=Gate("no fence is there", judge),
        poll=Poll(limit=5),
        change=Probe(("ccr-avn", "unfence", primary, *setting.options, "--disconnect"), act),
    )
