"""The same through TLS, on an older Redis where one is installed: no NO-TOUCH, no expiries of fields."""

import shutil
from pathlib import Path

import pytest
import trustme

from ccr_avn.valkey.compare import engine
from tests.functional.compare_corpus import everything
from tests.functional.compare_pair import fill, found, make_pair


def test_the_whole_corpus_through_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "FEW_KEYS", 0)
    pair = make_pair(tmp_path, binary=shutil.which("redis-server"), authority=trustme.CA())
    try:
        assert pair.ends()["primary"].tls
        fill(pair.primary.admin, everything())
        pair.settled()
        assert pair.compare(jobs=2, rounds=1).verdict == "equal"
        pair.detach()
        pair.replica.admin.hdel("hash:big", "field-7")
        assert found(pair.compare(jobs=2, rounds=1)) == [("value", 0, "hash:big")]
    finally:
        pair.stop()
