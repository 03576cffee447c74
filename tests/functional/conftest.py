"""The installed programs, run as a person runs them, against a sandbox."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from ccr_avn.sandbox.options import SandboxOptions
from ccr_avn.sandbox.run import RunningSandbox, running

BIN = Path(sys.executable).parent
EU, US = "google-europe-west1", "aws-us-east-1"
LIMIT = 90.0
"""Seconds after which a command under test counts as hung."""


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody at a shell inside a sandbox."""

    sandbox: RunningSandbox
    home: Path

    def start(self, *words: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            (str(BIN / words[0]) if (BIN / words[0]).exists() else words[0], *words[1:]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
            env=self.environment(**environment),
        )

    def environment(self, **more: str) -> dict[str, str]:
        path = f"{BIN}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "NO_COLOR": "1", **self.sandbox.environment(), **more}

    def types(self, *words: str, **environment: str) -> Ended:
        return ended(self.start(*words, **environment))

    def ccr(self, *words: str, **environment: str) -> Ended:
        return self.types("ccr-avn", *words, **environment)

    def avn(self, *words: str) -> Ended:
        done = self.types("avn", *words)
        assert done.code == 0, done.err
        return done

    def enable(self, *words: str, **environment: str) -> Ended:
        clouds = ("--primary-cloud", EU, "--replica-cloud", US)
        return self.ccr("enable", "eu", "us", *clouds, "--poll-interval", "0.5", *words, **environment)


def ended(child: "subprocess.Popen[str]", limit: float = LIMIT) -> Ended:
    try:
        out, err = child.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        child.kill()
        raise
    return Ended(child.returncode, out, err)


Make = Callable[..., Operator]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Sandboxes with quick builds; all of them end with the test."""
    with ExitStack() as stack:

        def start(**options: Any) -> Operator:
            quick = {"build_seconds": 0.2, "backup_seconds": 0.2, "promote_seconds": 0.1}
            sandbox = stack.enter_context(running(SandboxOptions(**{**quick, **options})))
            return Operator(sandbox, tmp_path)

        yield start


@pytest.fixture
def operator(make: Make) -> Operator:
    return make()


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_options(ca: trustme.CA, tmp_path: Path) -> dict[str, Path]:
    certificate = ca.issue_cert("127.0.0.1", "localhost")
    paths = {name: tmp_path / f"{name}.pem" for name in ("tls_certificate", "tls_key", "tls_ca")}
    paths["tls_certificate"].write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(paths["tls_key"])
    ca.cert_pem.write_to_path(paths["tls_ca"])
    return paths
