"""The same through TLS, on an older Redis where one is installed: no NO-TOUCH, no expiries of fields."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from ccr_avn.sandbox.configuration import ReservedPort
from ccr_avn.sandbox.tls_proxy import TlsProxy
from ccr_avn.valkey.compare import CompareRequest, compare, engine
from ccr_avn.valkey.connect import Endpoint
from tests.functional.compare_corpus import everything
from tests.functional.compare_pair import PASSWORD, Pair, fill, found, make_pair


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[Pair, dict[str, Endpoint]]]:
    ca = trustme.CA()
    certificate = ca.issue_cert("127.0.0.1")
    files = {name: tmp_path / f"{name}.pem" for name in ("cert", "key", "ca")}
    files["cert"].write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(files["key"])
    ca.cert_pem.write_to_path(files["ca"])
    pair = make_pair(tmp_path, binary=shutil.which("redis-server"))
    with contextlib.ExitStack() as stack:
        stack.callback(pair.stop)
        made = {}
        for name, server in (("primary", pair.primary), ("replica", pair.replica)):
            port = ReservedPort()
            stack.callback(port.release)
            proxy = TlsProxy(files["cert"], files["key"], ("127.0.0.1", port.number), ("127.0.0.1", server.port))
            stack.callback(proxy.close, cut=True)
            assert proxy.open()
            uri = f"rediss://default:{PASSWORD}@127.0.0.1:{port.number}"
            made[name] = Endpoint(service=name, uri=uri, ca_file=files["ca"])
        yield pair, made


def test_the_whole_corpus_through_tls(ends: tuple[Pair, dict[str, Endpoint]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "FEW_KEYS", 0)
    pair, sides = ends
    fill(pair.primary.client, everything())
    pair.settled()
    request = CompareRequest(**sides, level="values", jobs=2, rounds=1)  # type: ignore[arg-type]  # two endpoints
    assert compare(request).verdict == "equal"
    pair.detach()
    pair.replica.client.hdel("hash:big", "field-7")
    assert found(compare(request)) == [("value", 0, "hash:big")]
