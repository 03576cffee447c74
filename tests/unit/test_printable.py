"""What is shown steers no terminal, and can be written to any stream."""

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccr_avn.printable import DEGRADED, printable, printable_line


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("eu → us: done", "eu → us: done"),
        ("Ünïcode 数据", "Ünïcode 数据"),
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("over\rwritten\b", "over\\rwritten\\x08"),
        ("\x9b31m\x7f\x00", "\\x9b31m\\x7f\\x00"),
        ("us\u202egnirts\u2066", "us\\u202egnirts\\u2066"),
        ("half \ud83d", "half \\ud83d"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
    ],
)
def test_control_characters_are_shown_escaped(given_: str, shown: str) -> None:
    assert printable(given_) == shown


def test_what_must_stay_a_line_stays_one() -> None:
    assert printable_line("eu\nhint: type this\t!") == "eu\\nhint: type this\\t!"


@given(st.text(alphabet=st.characters(categories=None, exclude_categories=())))
def test_nothing_that_is_shown_steers(text: str) -> None:
    shown = printable_line(text)
    assert not [one for one in shown if unicodedata.category(one) in ("Cc", "Cs")]
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("ascii", b"eu -> us... \\xfc \\u6570"), ("latin-1", b"eu -> us... \xfc \\u6570"), ("utf-8", None)],
)
def test_a_stream_takes_every_character(encoding: str, written: bytes | None) -> None:
    raw, text = io.BytesIO(), "eu → us… ü 数"
    stream = io.TextIOWrapper(raw, encoding=encoding, errors=DEGRADED)
    stream.write(text)
    stream.flush()
    assert raw.getvalue() == (written or text.encode())
