"""A program that is installed as avn is, and tells or does what a test wants: what it sees, how it ends."""

import sys
from pathlib import Path

SCRIPT = f"""#!{sys.executable}
# -*- coding: utf-8 -*-
import re
import sys
from aiven.client.__main__ import main
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])
    sys.exit(main())
"""

ENTRY = """
from .cli import AivenCLI


def main():
    AivenCLI().main()
"""

PROGRAM = r'''
import atexit, gc, json, locale, os, resource, signal, sys, threading, time
from pathlib import Path

def named(handler):
    """Without the address: one that measures coverage is a method of an object."""
    return getattr(handler, "__qualname__", str(handler))


def seen(*_):
    """All that a process is given by who started it."""
    main = sys.modules["__main__"]
    names = ["SIGINT", "SIGPIPE", "SIGCHLD", "SIGTERM", "SIGHUP", "SIGXFSZ"]
    mask = os.umask(0)
    print(json.dumps({
        "argv": sys.argv, "environment": dict(os.environ), "place": os.getcwd(), "path": sys.path,
        "file": main.__file__, "name": main.__name__, "stdin": os.readlink("/proc/self/fd/0"),
        "open": sorted(int(one) for one in os.listdir("/proc/self/fd")),
        "session": os.getsid(0) == os.getpid(), "group": os.getpgid(0) == os.getpid(), "umask": mask,
        "handlers": {name: named(signal.getsignal(getattr(signal, name))) for name in names},
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())), "wakeup": signal.set_wakeup_fd(-1),
        "streams": [[one.encoding, one.errors, one.line_buffering, one.isatty()] for one in (sys.stdout, sys.stderr)],
        "flags": str(sys.flags), "gc": [gc.isenabled(), gc.get_threshold()], "nice": os.nice(0),
        "threads": threading.active_count(), "main": threading.current_thread() is threading.main_thread(),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE), "locale": locale.setlocale(locale.LC_ALL),
        "interpreter": [sys.executable, sys.prefix, sys.version],
    }, indent=1))


def quits(how):
    print("said before", flush=False)
    sys.exit({"none": None, "3": 3, "300": 300, "-1": -1, "true": True, "text": "a text", "tuple": (1, 2)}[how])


def fails():
    print("said before")
    try:
        {}["first"]
    except KeyError:
        raise ValueError("second")


def killed(number):
    print("lost in a buffer")
    os.kill(os.getpid(), int(number))


def vanishes():
    os._exit(7)


def talks():
    sys.stdout.buffer.write(b"\xff no UTF-8\r\nline\rline\n" + b"x" * 300_000)
    sys.stdout.flush()
    sys.stderr.write("y" * 300_000)


def outlives():
    """What is left to do when main has ended."""
    atexit.register(print, "atexit")
    threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()


def waits(mark, *_):
    """Until it is killed; a mark in a file for each time that it was begun."""
    print("waiting", flush=True)
    child = os.fork()
    if child:
        with open(mark, "a") as file:
            file.write(f"{os.getpid()} {child}\n")
    while True:
        time.sleep(60)


def meets(place, count):
    """Until as many are there."""
    Path(place, str(os.getpid())).touch()
    while len(os.listdir(place)) < int(count):
        time.sleep(0.005)
    print("met")


class AivenCLI:
    def parse_args(self):
        self.extend_commands(self)

    def extend_commands(self, _):
        self.what = sys.argv[1] if len(sys.argv) > 1 else "seen"

    def main(self):
        sys.exit(globals()[sys.argv[1]](*sys.argv[2:]))
'''


def install(place: Path) -> tuple[Path, dict[str, str]]:
    """The program, and what is needed in the environment for it to find its modules."""
    package = place / "modules" / "aiven" / "client"
    package.mkdir(parents=True)
    for directory in (package.parent, package):
        (directory / "__init__.py").touch()
    (package / "__main__.py").write_text(ENTRY)
    (package / "cli.py").write_text(PROGRAM)
    script = place / "bin" / "avn"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    script.chmod(0o755)
    return script, {"PYTHONPATH": str(place / "modules")}
