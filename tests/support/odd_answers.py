"""Answers of the sandbox's API with other fields and rows than the platform knows of."""

from typing import Any

from tests.support.operator import Operator


def overlay_service(operator: Operator, name: str, fields: dict[str, Any], *, drop: tuple[str, ...] = ()) -> None:
    """These fields of a service have these values, those of ``drop`` are left out."""
    _overlay(operator, "service_name", name, fields, drop)


def overlay_row(operator: Operator, dest: str, fields: dict[str, Any], *, drop: tuple[str, ...] = ()) -> None:
    """The same for the integration of a replica."""
    _overlay(operator, "dest_service", dest, fields, drop)


def add_row(operator: Operator, name: str, row: dict[str, Any]) -> None:
    """One more integration of a service: to logs, to metrics, to another project."""

    def alter(shown: dict[str, Any]) -> None:
        if shown.get("service_name") == name:
            shown["service_integrations"].append(row)

    operator.sandbox.platform.alterations.append(alter)


def _overlay(operator: Operator, key: str, name: str, fields: dict[str, Any], drop: tuple[str, ...]) -> None:
    def alter(shown: dict[str, Any]) -> None:
        if shown.get(key) == name:
            shown |= fields
            for field in drop:
                del shown[field]

    operator.sandbox.platform.alterations.append(alter)
