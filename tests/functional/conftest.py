"""The installed programs, run as a person runs them, against a sandbox."""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ccr_avn.sandbox.records import SandboxOptions
from ccr_avn.sandbox.run import running
from ccr_avn.sandbox.tls import with_certificates
from tests.support.loaded import loaded, wanted
from tests.support.operator import Make, Operator
from tests.support.pairs import PairClients, add_pair, client, link, paired
from tests.support.servers import serve, tls_server  # noqa: F401 (fixtures)
from tests.support.wait import until


@pytest.fixture(scope="session", autouse=True)
def nothing_is_ignored() -> None:
    """What a test starts inherits it; `nohup` and `&` in a script ignore what some tests send."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(scope="session")
def loaded_programs() -> Iterator[Path]:
    with loaded() as directory:
        yield directory


@pytest.fixture
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Sandboxes with quick builds; all of them end with the test.

    What is typed is loaded already where that was asked for, and in what is slow: how a program starts is seen elsewhere.
    """
    spared = wanted() or (request.node.get_closest_marker("slow") and sys.platform == "linux")
    loaded_programs: Path | None = request.getfixturevalue("loaded_programs") if spared else None
    with ExitStack() as stack:

        def start(**options: Any) -> Operator:
            quick = {"build_seconds": 0.0, "backup_seconds": 0.0, "promote_seconds": 0.1}
            sandbox = stack.enter_context(running(SandboxOptions(**{**quick, **options})))
            return Operator(sandbox, tmp_path, loaded_programs)

        yield start


@pytest.fixture
def operator(make: Make) -> Operator:
    return make()


@pytest.fixture
def pair_clients(make: Make, request: pytest.FixtureRequest) -> Iterator[PairClients]:
    """The pair eu and us, linked, in a sandbox with the options that a test is parametrized with."""
    operator = make(**getattr(request, "param", {}))
    add_pair(operator, "eu", "us", plan="business-4")
    how: dict[str, Any] = {"timeout": 2, "decode_responses": True}
    if ca := operator.sandbox.platform.options.tls_ca:
        how |= {"ssl": True, "ssl_ca_certs": str(ca)}
    with client(operator, "eu", **how) as eu, client(operator, "us", **how) as us:
        until(lambda: link(us) == "up")
        yield operator, eu, us


@pytest.fixture
def pair(operator: Operator) -> Operator:
    """eu and us, its replica."""
    return paired(operator)


@pytest.fixture
def tls_options(tmp_path: Path) -> dict[str, Any]:
    made = with_certificates(SandboxOptions(tls=True), tmp_path)
    return {name: getattr(made, name) for name in ("tls_certificate", "tls_key", "tls_ca")}
