"""Evacuations of a sandbox: the command, pairs to move, and what the result says of each."""

import json
from typing import Any

from tests.support.operator import EU, Operator
from tests.support.pairs import add_pairs

GO = ("evacuate", EU, "--yes", "--poll-interval", "0.5", "--json")


def pairs(operator: Operator, count: int) -> list[str]:
    """Pairs p0/r0, p1/r1, …, linked."""
    add_pairs(operator, count)
    return [f"p{number}/r{number}" for number in range(count)]


def result(out: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(out)["result"]
    return told


def by_pair(out: str) -> dict[str, dict[str, Any]]:
    return {one["pair"]: one for one in result(out)["pairs"]}


def states(told: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: one["state"] for name, one in told.items()}


def lets_nobody_in(operator: Operator, name: str) -> bool:
    return bool(operator.sandbox.platform.services[name].user_config.get("ip_filter") == ["192.0.2.1/32"])
