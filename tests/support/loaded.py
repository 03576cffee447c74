"""The installed programs, started from ones that are loaded already: what a start costs is most of what tests cost.

A command is still a process of its own, with its own words, environment, files, place and exit code; it is the code
of the installed script that runs. `./scripts/test --all` starts every one anew.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.wait import until

BIN = Path(sys.executable).parent
ASKED_FOR = "CCR_AVN_TESTS_LOADED"
SERVER = Path(__file__).with_name("loaded_server.py")


CLIENT = """#!{python} -IS
import _socket, os, resource, signal, sys
where, program, words = {where!r}, {program!r}, sys.argv[1:]
passed_on = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
wire = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
try:
    if any(os.isatty(number) or not os.fstat(number) for number in (0, 1, 2)):
        raise OSError("a terminal is for a program of its own")
    wire.connect(where)
except OSError:
    os.execv(program, [program, *words])
ignored = [number for number in passed_on if signal.getsignal(number) is signal.SIG_IGN]
for number in passed_on:  # also what is ignored here: the program may listen to it all the same
    signal.signal(number, lambda number, _: wire.sendall(bytes([number])))
umask = os.umask(0o77)
os.umask(umask)
kinds = {{getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}}
bits = sum(1 << number for number in ignored)
given = [bits, umask, os.nice(0), *(one for kind in kinds for one in (kind, *resource.getrlimit(kind)))]
variables = [key + b"=" + value for key, value in os.environb.items()]
told = [os.fsencode(word) for word in (program, *words)]
given = " ".join(str(one) for one in given).encode()
rest = b"\\0".join([given, os.getcwdb(), b"%d" % len(told), *told, *variables])
files = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
wire.sendmsg([b"%d\\n" % len(rest)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
wire.sendall(rest)
answer = b""
while more := wire.recv(16):
    answer += more
if answer == b"start":
    for number in passed_on:
        signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    os.execv(program, [program, *words])
code = int(answer or b"-9")
if code >= 0:
    os._exit(code)
if -code not in (signal.SIGKILL, signal.SIGSTOP):
    signal.signal(-code, signal.SIG_DFL)
os.kill(os.getpid(), -code)
"""


def wanted() -> bool:
    return bool(os.environ.get(ASKED_FOR))


@contextmanager
def loaded(environment: dict[str, str]) -> Iterator[Path]:
    """A directory with a `ccr-avn` and an `avn` that start nothing anew; what they use ends with it."""
    with TemporaryDirectory(prefix="loaded-") as directory, ExitStack() as stack:  # a socket's path has 100 bytes
        for name in ("ccr-avn", "avn"):
            stack.enter_context(_served(Path(directory, name), BIN / name, environment))
        yield Path(directory)


@contextmanager
def _served(starter: Path, program: Path, environment: dict[str, str]) -> Iterator[None]:
    where = starter.with_suffix(".socket")
    starter.write_text(CLIENT.format(python=sys.executable, where=str(where), program=str(program)))
    starter.chmod(0o755)
    argv = (sys.executable, "-P", str(SERVER), str(where), str(program))
    neutral = {name: value for name, value in environment.items() if not name.startswith("AIVEN_")}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env=neutral) as server:  # it ends with its stdin
        until(lambda: where.exists() or server.poll() is not None, f"{program.name} to be loaded")
        assert server.poll() is None
        yield
