"""Services, integrations and sides as plain values: what a test does not name is as it is in a healthy pair."""

import json
from typing import Any, cast

from ccr_avn.aiven import models
from ccr_avn.aiven.lineage import Recorded
from ccr_avn.monitoring.pairs import Pair, pairs_of
from ccr_avn.procedures.seen import Seen
from ccr_avn.procedures.setting import Journals
from ccr_avn.valkey.replication import NO_HISTORY, ReplicationInfo

HISTORY = "a" * 40


def journals(*recorded: Recorded) -> Journals:
    """Of a machine from which these promotions were sent."""
    return cast("Journals", type("Recording", (Journals,), {"promotions": recorded})())


def seen_of(*services: models.Service, **answers: Any) -> Seen:
    """By the step that looks the pair up; ``answers``: by the slugs of other steps."""
    seen = Seen()
    for slug, answer in {**answers, "pair": services}.items():
        seen.remember(slug, answer)
    return seen


def row(source: str, dest: str | None, **more: Any) -> dict[str, Any]:
    """A read_replica integration as avn shows it."""
    told = {"integration_type": "read_replica", "enabled": True, "active": True, "service_integration_id": "id"}
    return {**told, "source_service": source, "dest_service": dest, **more}


def service(name: str, *rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A service as avn shows it."""
    told = {
        "service_name": name,
        "service_type": "valkey",
        "state": "RUNNING",
        "plan": "startup-4",
        "cloud_name": "google-europe-west1",
        "node_count": 1,
        "termination_protection": False,
        "service_integrations": list(rows),
        "backups": [],
    }
    return {**told, **more}


def fact(name: str, *rows: dict[str, Any], **more: Any) -> models.Service:
    """The same as it is read."""
    return models.service(json.dumps(service(name, *rows, **more)))


def listed(*services: dict[str, Any]) -> tuple[Pair, ...]:
    return pairs_of(models.services(json.dumps(services)))


def side(role: str = "master", offset: int = 100, **more: Any) -> ReplicationInfo:
    """What INFO says of a primary, or of a replica whose link is up."""
    told: dict[str, Any] = {
        "role": role,
        "run_id": "f" if role == "slave" else "n" if "replid2" in more else "r",
        "version": "9.1.2",
        "replid": HISTORY,
        "replid2": NO_HISTORY,
        "offset": offset,
        "second_offset": -1,
        "connected_replicas": 1 if role == "master" else 0,
        "used_memory": 1000,
        "maxmemory": 0,
        "loading": False,
    }
    if "keys" in more:
        more["keyspace"] = ((0, more.pop("keys")),)
    link = {"link_status": "up", "last_io_seconds": 1} if role == "slave" else {}
    return ReplicationInfo(**{**told, **link, **more})
