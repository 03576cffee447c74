"""Summary line and examples of each gate command, in the order of a run."""

from collections.abc import Mapping

GATES: Mapping[str, tuple[str, ...]] = {
    "exists": (
        "Check that a service exists with the requested settings",
        "ccr-avn gate exists eu --cloud do-fra",
        "ccr-avn gate exists us --replica-of eu --cloud aws-us-east-1",
        "ccr-avn gate exists us --replica-of eu --cloud aws-us-east-1 --print exists",
    ),
    "running": (
        "Wait until a service is running",
        "ccr-avn gate running eu",
        "ccr-avn gate running eu --timeout 1200",
    ),
    "backup": (
        "Wait for a backup that a replica can be seeded from",
        "ccr-avn gate backup eu",
        "ccr-avn gate backup eu --for us --timeout 3600",
    ),
    "active": (
        "Wait until the integration of a pair is active",
        "ccr-avn gate active eu us",
        "ccr-avn gate active eu us --timeout 1200",
    ),
    "integration": (
        "Print the integration ID of a replica",
        "ccr-avn gate integration us",
        "ccr-avn gate integration us --from eu",
    ),
    "integration-gone": (
        "Wait until a replica's integration is gone",
        "ccr-avn gate integration-gone us",
        "ccr-avn gate integration-gone us --timeout 600",
    ),
    "link": (
        "Wait until a replica follows its primary",
        "ccr-avn gate link eu us",
        "ccr-avn gate link eu us --max-lag-bytes 1000000 --timeout 900",
    ),
    "databases": (
        "Check that a replica has every database in use",
        "ccr-avn gate databases eu us",
        "ccr-avn gate databases eu us --json",
    ),
    "marker": (
        "Write markers to a primary and read them from its replica",
        "ccr-avn gate marker eu us",
        "ccr-avn gate marker eu us --samples 100",
    ),
    "caught-up": (
        "Wait until a replica has applied what its primary wrote",
        "ccr-avn gate caught-up eu us",
        "ccr-avn gate caught-up eu us --timeout 300",
    ),
    "siblings": (
        "Check that no other replica of a primary was promoted",
        "ccr-avn gate siblings us",
        "ccr-avn gate siblings us --json",
    ),
    "fence-held": (
        "Check that the write pause held and the replica caught up",
        'ccr-avn gate fence-held eu us --token "$token"',
        'ccr-avn gate fence-held eu us --token "$token" --ttl 60',
    ),
    "promoted": (
        "Wait until a replica is a primary",
        "ccr-avn gate promoted us",
        "ccr-avn gate promoted us --timeout 600",
    ),
    "history": (
        "Check that a promoted service has its primary's data",
        'ccr-avn gate history us --token "$token"',
        "ccr-avn gate history us --primary eu",
    ),
    "accepts-writes": (
        "Wait until a write succeeds and can be read back",
        "ccr-avn gate accepts-writes us",
        "ccr-avn gate accepts-writes us --timeout 600",
    ),
    "tagged": (
        "Wait until a service has these tags",
        "ccr-avn gate tagged us --tag ccr_promoted_from=eu",
        "ccr-avn gate tagged us --tag ccr_promoted_from=eu --timeout 0",
    ),
    "audit": (
        "Report writes that only the old primary has",
        "ccr-avn gate audit eu us",
        "ccr-avn gate audit eu us --json",
    ),
    "ip-filter": (
        "Wait until a service's ip_filter admits no client",
        "ccr-avn gate ip-filter eu",
        "ccr-avn gate ip-filter eu --timeout 0",
    ),
    "closed": (
        "Wait until a service refuses all client connections",
        "ccr-avn gate closed eu",
        "ccr-avn gate closed eu --timeout 300",
    ),
    "powered-off": (
        "Wait until a service is powered off",
        "ccr-avn gate powered-off eu",
        "ccr-avn gate powered-off eu --timeout 0",
    ),
    "last-known": (
        "Show what a replica last knew of its primary",
        "ccr-avn gate last-known us",
        "ccr-avn gate last-known us --json",
    ),
    "lineage": (
        "Print the tag that says which primary a replica follows",
        "ccr-avn gate lineage us",
        "ccr-avn gate lineage us --origin",
    ),
}
