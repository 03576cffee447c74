"""Tables that fit a terminal: what matters least is left out, names are shortened in the middle, no word is broken."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ccr_avn.output.console import Name, emitted_line, outlet

GAP = 2
UNLIMITED = 10**6
"""Columns, where there is no terminal: a row is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """``rank``: the higher, the sooner it is left out; 0: never. ``styles``: rich's, of cells that begin with a word.

    ``kind``: a word stays as it is, a name may be shortened, prose goes on below itself: only the last one may.
    """

    head: str = ""
    rank: int = 0
    kind: Literal["word", "name", "prose"] = "word"
    styles: Mapping[str, str] = field(default_factory=dict)


def text(rows: Sequence[Sequence[str]], columns: Sequence[Column] = (), to: Name = "stdout", indent: int = 2) -> str:
    """The table as it is put out there: coloured in a terminal if ``columns`` have styles. Without ``columns`` the last one is prose."""
    if not rows:
        return ""
    room = terminal(to).width - indent if outlet(to).isatty() else UNLIMITED
    table, left_out = fitted(rows, columns or [*(Column() for _ in rows[0][1:]), Column(kind="prose")], room)
    lines = [" " * indent + line for line in rendered(table, to)]
    more = prose(f"no room for {', '.join(left_out)} (to see all, pipe into less -S)", to) if left_out else []
    return "\n".join([*lines, *more])


def fitted(rows: Sequence[Sequence[str]], columns: Sequence[Column], room: int) -> tuple[Table, list[str]]:
    """The table in that many columns of a terminal, and the heads for which there was no room."""
    cells = [[emitted_line(cell) for cell in row] for row in rows]
    full, wanted, least = zip(*(_widths(*column) for column in zip(columns, *cells, strict=True)), strict=True)
    widths: dict[int, int] = {}
    for at in sorted(range(len(columns)), key=lambda at: columns[at].rank):
        if not columns[at].rank or sum(wanted[one] + GAP for one in (*widths, at)) - GAP <= room:
            widths[at] = full[at]
    while sum(widths.values()) + GAP * (len(widths) - 1) > room and any(widths[at] > least[at] for at in widths):
        widths[max((at for at in widths if widths[at] > least[at]), key=widths.__getitem__)] -= 1
    table = Table(box=None, padding=0, header_style="", show_header=any(one.head for one in columns))
    for at in sorted(widths):
        gap = GAP if at != max(widths) else 0
        table.add_column(columns[at].head, width=widths[at] + gap, no_wrap=columns[at].kind != "prose", overflow="fold")
    for row in cells:
        table.add_row(*(_cell(row[at], columns[at], widths[at]) for at in sorted(widths)))
    return table, [one.head for at, one in enumerate(columns) if at not in widths]


def terminal(name: Name) -> Console:
    """rich on a standard stream, as safe as our own lines: what it is given is shown as it stands."""
    to: Any = outlet(name)
    return Console(file=to, highlight=False, markup=False, emoji=False)


def live(name: Name, picture: Callable[[Console], RenderableType], *, transient: bool = True) -> Live:
    """What ``picture`` gives, again and again at the bottom of a terminal; lines that are put out meanwhile stand above."""
    console = terminal(name)
    return Live(
        console=console,
        get_renderable=lambda: picture(console),
        transient=transient,
        redirect_stdout=outlet("stdout").isatty(),
        redirect_stderr=outlet("stderr").isatty(),
    )


def rendered(what: RenderableType, to: Name) -> list[str]:
    """The lines of it, in the colours of that stream."""
    console = terminal(to)
    console.width = console.width if outlet(to).isatty() else UNLIMITED
    with console.capture() as captured:
        console.print(what)
    return [line.rstrip() for line in captured.get().splitlines()]


def prose(said: str, to: Name) -> list[str]:
    """A sentence, wrapped between its words in a terminal."""
    return rendered(Text(emitted_line(said)), to)


def shortened(name: str, width: int) -> str:
    """Names of services are alike at their beginnings and differ at their ends: what is left out is in the middle."""
    sides = name.split("/")
    room = (width - len(sides) + 1) // len(sides)
    tail = (room - 1) * 2 // 3
    if len(name) <= width:
        return name
    return "/".join(side if len(side) <= room else f"{side[: room - 1 - tail]}…{side[-tail:]}" for side in sides)


def _widths(column: Column, *said: str) -> tuple[int, int, int]:
    """Of the whole column; that from which on it is worth its place; and the least: shortened names still differ."""
    full = max(map(len, (column.head, *said)))
    if column.kind == "word":
        return full, full, full
    if column.kind == "prose":
        longest = max((len(word) for one in said for word in one.split()), default=0)
        return full, min(full, max(26, min(longest, 40))), min(full, 18)
    sides = max((one.count("/") + 1 for one in said), default=1)
    least = 12 * sides
    while len({shortened(one, least) for one in said}) < len(set(said)):
        least += 1
    return full, min(full, max(24 * sides, least)), min(full, least)


def _cell(said: str, column: Column, width: int) -> Text:
    style = next((style for word, style in column.styles.items() if said.startswith(word)), "")
    return Text(shortened(said, width) if column.kind == "name" else said, style=style)
