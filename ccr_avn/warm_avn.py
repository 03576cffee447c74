"""Imported by the fork server alone: avn, with its parser built. A fork of it is an avn that has started."""

import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any


def _warm_up() -> None:
    """Most of avn's start is making its parser, which is the same for every command. Only where it is known how."""
    os.setsid()  # neither Ctrl-C nor a terminal that is closed is for it
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    os.environ.pop("PYTHONSAFEPATH", None)
    sys.path.insert(0, str(Path(sys.executable).parent))  # as a script of that folder has it
    import_module("ccr_avn.loaded_avn")  # which unpickles what each fork is to run
    entry: Any = import_module("aiven.client.__main__")
    with suppress(ImportError):
        import_module("netrc")  # `requests` does, when it sends
    with suppress(AttributeError):
        if entry.main.__code__.co_names == ("AivenCLI", "main"):
            tool = entry.AivenCLI()
            tool.extend_commands(tool)
            tool.extend_commands = lambda _: None
            entry.AivenCLI = lambda: tool
    gc.freeze()  # else the first collection in every fork would copy all of it


_warm_up()
