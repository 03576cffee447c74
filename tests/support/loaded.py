"""The installed programs, forked from ones that are loaded already: what a start costs is most of what tests cost.

A command is still a process of its own, with its own words, environment, files, place and exit code. In a terminal, or
in an environment in which Python would start otherwise, the installed script is started. `./scripts/test --all` starts
every one anew but in the slow tests. Coverage is not measured in them: a fork ends before it could be written.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

BIN = Path(sys.executable).parent
ASKED_FOR = "CCR_AVN_TESTS_LOADED"
AT_THE_START = ("PYTHON", "LC_", "LANG", "COVERAGE", "FORCE_COLOR", "PY_COLORS", "GITHUB_", "TERMINAL_", "TYPER_")
"""Variables that begin so count while a program starts, or loads what it uses."""

READ_BY_AVN = ("AIVEN_AUTH_TOKEN", "AIVEN_CA_CERT", "AIVEN_CLIENT_CONFIG", "AIVEN_PROJECT", "AIVEN_WEB_URL")
"""What avn reads of its environment while it loads. The fork server has each set to its own name, to find it again."""

SERVER = "from multiprocessing import forkserver; forkserver.main({}, {}, ['tests.support.loaded_programs'])"
CLIENT = """#!{python} -IS
import _socket, os, resource, signal, sys
words = [{program!r}, *sys.argv[1:]]
passed_on = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
wire = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
try:
    environment = {{name: value for name, value in os.environ.items() if name.startswith({at_the_start!r})}}
    if environment.get("LANGUAGE") == "C":  # what ccr-avn has avn do without: a search for translations
        del environment["LANGUAGE"]
    limited = resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY
    if limited or environment != {environment!r} or any(os.isatty(number) or not os.fstat(number) for number in (0, 1, 2)):
        raise OSError("it would not be the same")
    wire.connect({where!r})
except OSError:
    os.execv(words[0], words)
order, to_order = os.pipe()
answer, to_answer = os.pipe()
nothing = os.open(os.devnull, os.O_RDWR)  # for what the fork server gives to processes of multiprocessing
files = (order, to_answer, nothing, nothing, 0, 1, 2)
packed = b"".join(number.to_bytes(4, sys.byteorder) for number in files)
wire.sendmsg([bytes([len(files)])], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])
os.close(order)
os.close(to_answer)
pid = int.from_bytes(os.read(answer, 8), sys.byteorder, signed=True)
ignored = bytes(number for number in passed_on if signal.getsignal(number) is signal.SIG_IGN)
for number in passed_on:  # also what is ignored here: the program may listen to it all the same
    signal.signal(number, lambda number, _: os.kill(pid, number))
variables = [name + b"=" + value for name, value in os.environb.items()]
text = b"\\0".join([os.getcwdb(), ignored, b"%d" % len(words), *map(os.fsencode, words), *variables])
call = b"ctests.support.loaded_programs\\nOrder\\nB" + len(text).to_bytes(4, "little") + text + b"\\x85R."  # as pickle has it
os.write(to_order, b"}}." + call)
code = int.from_bytes(os.read(answer, 8) or b"\\xf7" + b"\\xff" * 7, sys.byteorder, signed=True)
if code >= 0:
    os._exit(code)
if -code not in (signal.SIGKILL, signal.SIGSTOP):
    signal.signal(-code, signal.SIG_DFL)
os.kill(os.getpid(), -code)
"""


def wanted() -> bool:
    return bool(os.environ.get(ASKED_FOR)) and sys.platform == "linux"


@contextmanager
def loaded() -> Iterator[Path]:
    """A directory with a `ccr-avn` and an `avn` that start nothing anew; what they use ends with it."""
    with TemporaryDirectory(prefix="loaded-") as directory, socket.socket(socket.AF_UNIX) as listener:
        where = Path(directory, "socket")
        listener.bind(str(where))
        listener.listen(64)
        alive, end = os.pipe()
        environment = {name: value for name, value in os.environ.items() if name.startswith(AT_THE_START)}
        unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        for name in ("ccr-avn", "avn"):
            starter = Path(directory, name)
            starter.write_text(
                CLIENT.format(
                    python=sys.executable,
                    program=str(BIN / name),
                    at_the_start=AT_THE_START,
                    environment=environment,
                    where=str(where),
                )
            )
            starter.chmod(0o755)
        with subprocess.Popen(
            (sys.executable, "-c", SERVER.format(listener.fileno(), alive)),
            pass_fds=(listener.fileno(), alive),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
            env={**unmeasured, **{name: name for name in READ_BY_AVN}},
        ) as server:
            yield Path(directory)
            server.kill()
        os.close(alive)
        os.close(end)
