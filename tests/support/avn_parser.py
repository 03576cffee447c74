"""The installed avn's own reading of a command: built once, as that takes longer than all that is read."""

import contextlib
import io
from collections.abc import Sequence
from functools import cache

from aiven.client.cli import AivenCLI


@cache
def _avn() -> AivenCLI:
    avn = AivenCLI()
    avn.extend_commands(avn)  # what its parse_args does each time, before it reads
    return avn


def read_by_avn(words: Sequence[str]) -> AivenCLI:
    """avn with these arguments, without its own name.

    Raises:
        AssertionError: it does not accept them.
    """
    avn, errors = _avn(), io.StringIO()
    with contextlib.redirect_stderr(errors):
        try:
            avn.args = avn.parser.parse_args(list(words))
        except SystemExit as end:
            raise AssertionError(f"{words}: {errors.getvalue()}") from end
    return avn
