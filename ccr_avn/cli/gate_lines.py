"""Summary line of each gate command, and what its examples have behind its name, in the order of a run."""

from collections.abc import Mapping

GATES: Mapping[str, tuple[str, ...]] = {
    "exists": (
        "Check that a service exists with the requested settings",
        "eu --cloud do-fra",
        "us --replica-of eu --cloud aws-us-east-1",
        "us --replica-of eu --cloud aws-us-east-1 --print exists",
    ),
    "running": ("Wait until a service is running", "eu", "eu --timeout 1200"),
    "backup": ("Wait for a backup that a replica can be seeded from", "eu", "eu --for us --timeout 3600"),
    "active": ("Wait until the integration of a pair is active", "eu us", "eu us --timeout 1200"),
    "integration": ("Print the integration ID of a replica", "us", "us --from eu"),
    "integration-gone": ("Wait until a replica's integration is gone", "us", "us --timeout 600"),
    "link": ("Wait until a replica follows its primary", "eu us", "eu us --max-lag-bytes 1000000 --timeout 900"),
    "databases": ("Check that a replica has every database in use", "eu us", "eu us --json"),
    "marker": ("Write markers to a primary and read them from its replica", "eu us", "eu us --samples 100"),
    "caught-up": ("Wait until a replica has applied what its primary wrote", "eu us", "eu us --timeout 300"),
    "siblings": ("Check that no other replica of a primary was promoted", "us", "us --json"),
    "fence-held": (
        "Check that the write pause held and the replica caught up",
        'eu us --token "$token"',
        'eu us --token "$token" --ttl 60',
    ),
    "promoted": ("Wait until a replica is a primary", "us", "us --timeout 600"),
    "history": ("Check that a promoted service has its primary's data", 'us --token "$token"', "us --primary eu"),
    "accepts-writes": ("Wait until a write succeeds and can be read back", "us", "us --timeout 600"),
    "tagged": (
        "Wait until a service has these tags",
        "us --tag ccr_promoted_from=eu",
        "us --tag ccr_promoted_from=eu --timeout 0",
    ),
    "audit": ("Report writes that only the old primary has", "eu us", "eu us --json"),
    "ip-filter": ("Wait until a service's ip_filter admits no client", "eu", "eu --timeout 0"),
    "closed": ("Wait until a service refuses all client connections", "eu", "eu --timeout 300"),
    "powered-off": ("Wait until a service is powered off", "eu", "eu --timeout 0"),
    "last-known": ("Show what a replica last knew of its primary", "us", "us --json"),
    "lineage": ("Print the tag that says which primary a replica follows", "us", "us --origin"),
}
