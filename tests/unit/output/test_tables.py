"""Tables fit their terminal: what matters least goes first, names stay distinct, and no word is broken."""

import io
from collections.abc import Sequence
from itertools import pairwise

import pytest
from rich.console import Console

from ccr_avn.cli.conduct import sides
from ccr_avn.cli.runs import LISTED, STEPS
from ccr_avn.output import tables
from ccr_avn.output.overview import COLUMNS
from ccr_avn.output.tables import Column

REST = ("RUNNING > REBUILDING", "active", "down", "-", "31 s", "4 h", "termination protection off")
NAMES = ("carts", "payments-idempotency-production", "payments-idempotency-staging", "recommendations-features")
CLOUDS = ("google-europe-west1 > aws-us-east-1", "business-4 > startup-4")
PAIRS = [("critical", "pair", f"{name}-eu", f"{name}-us", *CLOUDS, *REST) for name in NAMES]
ENDED = [("20261129T230401855Z-27ee98", "switchover", *PAIRS[1][2:4], "157 ms", "failed, exit 14, may have changed")]
FOUND = [
    ("integration", "ok", "12 ms", "integration 34cd0879-db85-49c6-aaff-8725f1d4a072 is enabled and active"),
    ("integration-gone", "not reached", "", ""),
    ("health", "ok", "8 ms", "link up, no sync in progress, 0 bytes behind, replication ID dec66a02"),
]
HEADS = ("service", "role", "becomes", "cloud", "plan", "state", "link", "lag")
ASKED = [
    ("payments-idempotency-eu", "primary", "powered off", "google-europe-west1", "business-4", "RUNNING", "-", "-"),
    ("payments-idempotency-us", "replica", "primary", "aws-us-east-1", "startup-4", "RUNNING", "up", "0"),
]
SAID = [("promoted", "payments-idempotency-us becomes a standalone primary, permanently"), ("may be lost", "no write")]

Rows = Sequence[tuple[str, ...]]


def lines(rows: Rows, columns: tuple[Column, ...], room: int) -> tuple[list[str], list[str]]:
    """What a terminal of so many columns shows, and what is left out."""
    screen = io.StringIO()
    table, left_out = tables.fitted(rows, columns, room)
    Console(file=screen, width=room, color_system=None).print(table)
    return [line.rstrip() for line in screen.getvalue().splitlines()], left_out


@pytest.mark.parametrize("room", [60, 80, 100, 120, 200])
@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (PAIRS, COLUMNS),
        (ENDED, LISTED),
        (FOUND, STEPS),
        (ASKED, tuple(sides(HEADS))),
        (SAID, (Column(), Column(kind="prose"))),
    ],
    ids=["status", "runs list", "runs show", "question", "consequences"],
)
def test_no_word_is_broken_and_no_line_too_long(rows: Rows, columns: tuple[Column, ...], room: int) -> None:
    shown, _ = lines(rows, columns, room)
    said = {
        word
        for said in (*(one.head for one in columns), *(cell for row in rows for cell in row))
        for word in said.split()
    }
    words = {word for line in shown for word in line.split() if "…" not in word}
    assert not [one for one in words - said if not any(one in long for long in said if len(long) > room / 2)]
    assert max(map(len, shown)) <= room
    assert len(shown) >= len(rows)


def test_the_narrower_the_terminal_the_fewer_columns_and_the_least_important_go_first() -> None:
    left_out = [lines(PAIRS, COLUMNS, room)[1] for room in (60, 80, 120, 250)]
    assert left_out[-1] == []
    assert all(set(wider) < set(narrower) for narrower, wider in pairwise(left_out))
    assert not {"HEALTH", "PRIMARY", "REPLICA", "LINK", "LAG"} & set(left_out[0])
    assert "EXPOSURE" in left_out[2], "words of little weight, and many"


def test_shortened_names_keep_both_ends_and_differ() -> None:
    shown, _ = lines(PAIRS, COLUMNS, 60)
    names = [line.split()[1] for line in shown[1:]]
    assert len(set(names)) == len(PAIRS)
    assert names[0] == "carts-eu", "one that fits is left alone"
    assert all(name.endswith("-eu") for name in names)
    alike = [f"the-same-beginning-{number}-and-the-same-end-of-a-long-name" for number in range(10, 14)]
    assert len(set(lines([(one,) for one in alike], (Column(kind="name"),), 20)[0])) == len(alike)


def test_where_there_is_no_terminal_a_row_is_one_whole_line(capsys: pytest.CaptureFixture[str]) -> None:
    del capsys
    shown = tables.text(PAIRS, COLUMNS, indent=0).splitlines()
    assert len(shown) == 1 + len(PAIRS)
    assert all(cell in line for line, row in zip(shown[1:], PAIRS, strict=True) for cell in row)
    assert not [line for line in shown if "\x1b" in line]


def test_what_is_left_out_is_said_and_how_to_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("ccr_avn.output.console.Outlet.isatty", lambda _: True)
    shown = tables.text(PAIRS, COLUMNS, indent=0).splitlines()
    assert " ".join(shown[-2:]).startswith("no room for STANDING, CLOUDS")
    assert " ".join(shown[-2:]).endswith("(to see all, pipe into less -S)")
