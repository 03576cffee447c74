"""What every promotion reports: the pair before and after it, the remaining risks, the differences."""

from typing import Any

from ccr_avn.aiven.models import Service
from ccr_avn.procedures.gates import parity
from ccr_avn.procedures.gates.parity import Difference
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Setting
from ccr_avn.procedures.verb import Line

DECLARED = (
    "Terraform and the Kubernetes operator set ip_filter and tags as declared, and the operator powers services on: "
    "change that there, and remove service_integrations/read_replica, before the next apply; it would open a closed "
    "service again, and remove the tags that record the promotion"
)
"""Said before the question too: an apply may come at any time after it."""

LONG = 70
"""Characters from which on a risk gets a line of its own, so that the others' column stays narrow."""


def described(service: Service) -> dict[str, Any]:
    """A service as plain data, without secrets."""
    names = ("name", "type", "plan", "cloud", "state")
    return {name: getattr(service, name) for name in names}


def sides(**services: Service | None) -> list[dict[str, Any]]:
    """The pair as plain data, each side with its role."""
    return [{**described(one), "role": role.replace("_", " ")} for role, one in services.items() if one]


def differences(at: Setting, seen: Seen, old: Service | None, new: Service | None) -> tuple[Difference, ...]:
    """In what the new primary differs: as the platform shows both, and as their servers were before, if they were asked."""
    if old is None or new is None:
        return ()
    facts = seen.facts
    servers = parity.of_servers(at.project, old, new, facts) if facts else ()
    return (*parity.of_services(at.project, old, new), *servers)


def exposure(at: Setting, new: Service) -> list[dict[str, str]]:
    """What is exposed after a promotion, each with the command that ends it, if one does."""
    found = [
        ("it has no replica", at.command("ccr-avn", "enable", new.name, "NEW", "--replica-cloud", "CLOUD")),
        ("it has no backup until Aiven takes the first", at.command("avn", "service", "backup-list", new.name)),
        (DECLARED, ""),
    ]
    if (new.node_count or 1) < 2:
        plan = new.plan.replace("startup-", "business-")
        larger = at.command("avn", "service", "update", new.name, "--plan", plan)
        found.insert(0, (f"{new.plan} is a single node", larger))
    return [{"what": what, "fix": fix} for what, fix in found]


def exposure_lines(found: list[dict[str, str]]) -> list[Line]:
    short = [(one["what"], one["fix"]) for one in found if len(one["what"]) <= LONG]
    long = [(one["what"], one["fix"]) for one in found if len(one["what"]) > LONG]
    paragraphs = [
        f"{indent}{text}" for pair in long for indent, text in zip(("  ", "      "), pair, strict=True) if text
    ]
    return ["remaining risks:", *([short] if short else []), *paragraphs]
