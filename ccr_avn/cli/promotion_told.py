"""Output of every promotion: the pair before and after it, and the remaining risks."""

from typing import TYPE_CHECKING, Any

from ccr_avn.output import console
from ccr_avn.procedures.steps import described

if TYPE_CHECKING:
    from ccr_avn.aiven.models import Service


def sides(**services: "Service | None") -> list[dict[str, Any]]:
    """The pair as plain data, each side with its role."""
    return [{**described(one), "role": role.replace("_", " ")} for role, one in services.items() if one]


DECLARED = (
    "Terraform and the Kubernetes operator set ip_filter and tags as declared: change both there, and remove "
    "service_integrations/read_replica, before the next apply; it would open a closed service again, and remove the "
    "tags that record the promotion"
)
"""Said before the question too: an apply may come at any time after it."""


def exposure(project: tuple[str, ...], new: "Service") -> list[dict[str, str]]:
    """What is exposed after a promotion, each with the command that mends it, if one does."""
    flag = f" {' '.join(project)}" if project else ""
    found = [
        ("it has no replica", f"ccr-avn enable {new.name} NEW --replica-cloud CLOUD{flag}"),
        ("it has no backup until Aiven takes the first", f"avn service backup-list {new.name}{flag}"),
        (DECLARED, ""),
    ]
    if (new.node_count or 1) < 2:
        plan = new.plan.replace("startup-", "business-")
        found.insert(0, (f"{new.plan} is a single node", f"avn service update {new.name} --plan {plan}{flag}"))
    return [{"what": what, "mend": mend} for what, mend in found]


LONG = 70
"""Characters from which on a risk gets a line of its own, so that the others' column stays narrow."""


def exposure_lines(found: list[dict[str, str]]) -> list[str]:
    short = [(one["what"], one["mend"]) for one in found if len(one["what"]) <= LONG]
    long = [f"{indent}{text}" for one in found if len(one["what"]) > LONG for indent, text in _paragraph(one) if text]
    return ["remaining risks:", *([console.table(short)] if short else []), *long]


def _paragraph(risk: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return ("  ", risk["what"]), ("      ", risk["mend"])
