"""The same through TLS, on the release of Redis that Debian ships: no NO-TOUCH, no expiries of fields."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from ccr_avn.dataplane.compare import CompareRequest, compare, run
from ccr_avn.dataplane.connect import Endpoint
from tests.functional.compare_corpus import everything
from tests.functional.compare_pair import PASSWORD, Pair, fill, found, free_port, make_pair


def with_tls() -> str | None:
    server = shutil.which("redis-server")
    linked = subprocess.run(["ldd", server], capture_output=True, text=True, check=False).stdout if server else ""
    return server if "libssl" in linked else None


needs_tls = pytest.mark.skipif(not with_tls(), reason="no redis-server built with TLS in PATH (apt install it)")


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[Pair, dict[str, Endpoint]]]:
    ca = trustme.CA()
    certificate = ca.issue_cert("127.0.0.1")
    files = {name: tmp_path / f"{name}.pem" for name in ("cert", "key", "ca")}
    files["cert"].write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(files["key"])
    ca.cert_pem.write_to_path(files["ca"])
    words = ("--tls-cert-file", files["cert"], "--tls-key-file", files["key"], "--tls-ca-cert-file", files["ca"])
    pair = make_pair(tmp_path, *map(str, words), "--tls-auth-clients", "no", binary=with_tls())
    try:
        made = {}
        for name, server in (("primary", pair.primary), ("replica", pair.replica)):
            port = free_port()
            server.client.config_set("tls-port", port)
            uri = f"rediss://default:{PASSWORD}@127.0.0.1:{port}"
            made[name] = Endpoint(service=name, uri=uri, ca_file=files["ca"])
        yield pair, made
    finally:
        pair.stop()


@pytest.mark.tls
@needs_tls
def test_the_whole_corpus_through_tls(ends: tuple[Pair, dict[str, Endpoint]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SMALL", 0)
    pair, sides = ends
    fill(pair.primary.client, everything())
    pair.settled()
    request = CompareRequest(**sides, level="values", jobs=2, rounds=1)  # type: ignore[arg-type]  # two endpoints
    assert compare(request).verdict == "equal"
    pair.detach()
    pair.replica.client.hdel("hash:big", "field-7")
    assert found(compare(request)) == [("value", 0, "hash:big")]
