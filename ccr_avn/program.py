"""Which avn is installed: found, asked, and known to be new enough."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ccr_avn import avn, process
from ccr_avn.errors import Refused, UsageError

OLDEST = (2, 14, 8)
"""The first avn with `service backup-list`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The avn that is used: where it is, which it is, and what its `service create` offers."""

    path: str
    version: str
    create_help: str = ""

    @property
    def offers_service_integration(self) -> bool:
        return "--service-integration" in self.create_help


def identify(given: str | None, *, with_help: bool = False) -> Program:
    """Ask the installed avn what it is. Local: no call to Aiven, no token.

    Raises:
        UsageError: there is none, or it is no avn.
        Refused: it is older than the oldest supported.
    """
    path = process.find_avn(given)
    calls = (avn.version(), *((avn.create_help(),) if with_help else ()))
    with ThreadPoolExecutor(len(calls)) as pool:
        version, *more = pool.map(lambda call: _local(path, tuple(str(word) for word in call.argv[1:])), calls)
    name, _, number = version.strip().partition(" ")
    if name != "aiven-client" or not number:
        raise UsageError(
            f"{path} is not avn",
            detail="`--version` did not answer aiven-client and a number",
            hint="give --avn the path of the Aiven CLI, or leave it out",
        )
    if _numbers(number) < OLDEST:
        raise Refused(
            f"avn {number} is too old",
            detail=f"{path}; the oldest that will do is {'.'.join(map(str, OLDEST))}, for `service backup-list`",
            hint="pip install --upgrade aiven-client",
        )
    return Program(path=path, version=number, create_help=more[0] if more else "")


def _local(path: str, words: tuple[str, ...]) -> str:
    try:
        answer = process.run((path, *words), deadline=30.0)
    except OSError as error:
        raise UsageError(
            f"{path} can't be run", detail=str(error.strerror), hint="give --avn the path of avn"
        ) from None
    return answer.stdout if answer.code == 0 else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def version_beside(path: str) -> str:
    """The version of an avn without starting it: only known for the one installed beside this interpreter."""
    import sys
    from importlib.metadata import PackageNotFoundError, version
    from pathlib import Path

    if Path(path).parent != Path(sys.executable).parent:
        return "not asked"
    try:
        return version("aiven-client")
    except PackageNotFoundError:
        return "not asked"
