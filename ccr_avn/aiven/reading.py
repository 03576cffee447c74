"""Parses avn's JSON row by row and skips, with a warning, what can't be parsed. Knows no particular fact."""

import json
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ccr_avn import redact
from ccr_avn.errors import AvnError

M = TypeVar("M", bound="Fact")
R = TypeVar("R")


class Rows(tuple[R, ...], Generic[R]):  # noqa: SLOT001 (a tuple with a fact of its own can have no slots)
    """The rows that could be read; ``left_out``: a sentence on each that could not, or not wholly."""

    left_out: tuple[str, ...]

    def __new__(cls, rows: Iterable[R], left_out: Iterable[str] = ()) -> "Rows[R]":
        made = super().__new__(cls, tuple(rows))
        made.left_out = tuple(left_out)
        return made


class Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=False, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, value: Any) -> Any:
        """The schema does not say which fields may be null: where there is a default, that is meant."""
        return {key: one for key, one in value.items() if one is not None} if isinstance(value, dict) else value


def parsed(stdout: str) -> Any:
    try:
        answer = json.loads(stdout)
        redact.learn(answer)  # before anything can be said of it
    except (ValueError, RecursionError) as error:
        raise unreadable(error) from None
    return answer


def listed(stdout: str) -> list[Any]:
    found = parsed(stdout)
    if not isinstance(found, list):
        raise unreadable(TypeError("it is not a list"))
    return found


def rows_of(shape: type[M], rows: Iterable[Any], what: str) -> Rows[M]:
    """Those that can be read; a stranger's odd row takes nothing from the others."""
    found: list[M] = []
    left_out: list[str] = []
    for number, row in enumerate(rows, 1):
        try:
            one = salvaged(shape, row)
        except AvnError as error:
            name = _name_of(row) or f"number {number}"
            left_out.append(f"{what} {name} is skipped: avn's answer about it can't be read ({error.detail})")
        else:
            found.append(one)
            left_out.extend(getattr(one, "left_out", ()))
    return Rows(found, left_out)


def salvaged(shape: type[M], row: Any) -> M:
    """The fact without what can't be read of it, as long as that has a default.

    Raises: AvnError: something that it can't do without is missing or odd.
    """
    notes: list[str] = []
    left = {key: one for key, one in row.items() if key != "left_out"} if isinstance(row, dict) else row
    while True:
        try:
            found = shape.model_validate(left)
        except ValidationError as error:
            left, dropped = _without(shape, left, error)
            notes += (f"{_name_of(row) or 'a row'}: {one}: skipped, it can't be read" for one in dropped)
        except (ValueError, RecursionError) as error:
            raise unreadable(error) from None
        else:
            with_notes = notes and "left_out" in shape.model_fields
            return found.model_copy(update={"left_out": tuple(dict.fromkeys(notes))}) if with_notes else found


def _without(shape: type[M], row: Any, error: ValidationError) -> tuple[Any, list[str]]:
    """The row without its odd elements and fields, and what these were. Raises: AvnError: one of them is needed."""
    needed = {field.alias or name for name, field in shape.model_fields.items() if field.is_required()}
    places = {one["loc"][:2] for one in error.errors(include_input=False, include_url=False)}
    if not isinstance(row, dict) or any(not place or place[0] in needed or place[0] not in row for place in places):
        raise unreadable(error)
    left, dropped = dict(row), []
    for key in {place[0] for place in places}:
        odd = {place[1] for place in places if place[0] == key and len(place) > 1 and isinstance(place[1], int)}
        if odd and isinstance(row[key], list):
            left[key] = [one for index, one in enumerate(row[key]) if index not in odd]
            dropped += [f"{key}[{index}]" for index in sorted(odd)]
        else:
            del left[key]
            dropped.append(str(key))
    return left, dropped


def _name_of(row: Any) -> str:
    keys = ("service_name", "service_integration_id", "backup_name", "username", "integration_type", "key")
    return next((str(row[key]) for key in keys if isinstance(row.get(key), str)), "") if isinstance(row, dict) else ""


def unreadable(error: Exception) -> AvnError:
    """avn answered something else than documented. The answer itself may hold passwords: it is not shown."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        detail = f"{'.'.join(str(part) for part in first['loc']) or 'the answer'}: {first['type']}"
    else:
        own = str(error) if isinstance(error, TypeError) else type(error).__name__  # those are our own words
        detail = "not JSON" if isinstance(error, json.JSONDecodeError) else own
    return AvnError(
        "avn's answer can't be parsed",
        detail=detail,
        hint="run it again; if it happens again, `ccr-avn doctor` shows which avn is used and whether it is supported",
    )
