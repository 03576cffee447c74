"""Which programs can be loaded and forked: the avn that was installed with us, as installers write it."""

import sys
from pathlib import Path

import pytest

from ccr_avn import loaded_avn

ENTRY = "from aiven.client.__main__ import main\n"
PIP = (
    "# -*- coding: utf-8 -*-\nimport re\nimport sys\n" + ENTRY + "if __name__ == '__main__':\n"
    "    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    sys.exit(main())\n"
)
NEW_PIP = (
    "import sys\n" + ENTRY + "if __name__ == '__main__':\n"
    "    sys.argv[0] = sys.argv[0].removesuffix('.exe')\n    sys.exit(main())\n"
)
UV = (
    "# -*- coding: utf-8 -*-\nimport sys\n" + ENTRY + 'if __name__ == "__main__":\n'
    '    if sys.argv[0].endswith("-script.pyw"):\n        sys.argv[0] = sys.argv[0][:-11]\n    sys.exit(main())\n'
)
FOUND = (
    "#!/opt/avn/bin/python\n" + PIP,
    "#!/opt/avn/bin/python3.13\n" + NEW_PIP,
    "#!/opt/avn/bin/python -sP\n" + NEW_PIP,
    "#!/opt/avn/bin/python\n" + UV,
)


@pytest.fixture
def avn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is, beside our own interpreter."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.delenv(loaded_avn.OFF, raising=False)
    return tmp_path / "avn"


@pytest.mark.skipif(sys.platform != "linux", reason="forks are used on Linux only")
@pytest.mark.parametrize("text", FOUND, ids=range(len(FOUND)))
def test_the_avn_that_was_installed_with_us_is_loaded(text: str, avn: Path, tmp_path: Path) -> None:
    avn.write_text(text)
    assert loaded_avn.possible(str(avn))
    link = tmp_path / "elsewhere"
    link.symlink_to(avn)
    assert loaded_avn.possible(str(link))


OTHER = (
    "",
    PIP,
    '#!/bin/sh\nexec /opt/avn/bin/avn "$@"\n',
    "#!/opt/avn/bin/python\nimport os\n" + PIP,
    "#!/opt/avn/bin/python\n" + PIP + "import os\n",
    "#!/opt/avn/bin/python\n" + PIP.replace("aiven.client.__main__", "somebody.else"),
    "#!/opt/avn/bin/python\n" + PIP.replace("sys.exit(main())", "main()"),
    "#!/opt/avn/bin/python\n__requires__ = 'aiven-client'\nfrom pkg_resources import load_entry_point\n",
)


@pytest.mark.parametrize("text", OTHER, ids=range(len(OTHER)))
def test_whatever_else_is_started_plainly(text: str, avn: Path) -> None:
    avn.write_text(text)
    assert not loaded_avn.possible(str(avn))


def test_so_is_one_that_is_elsewhere_or_no_text(avn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not loaded_avn.possible(str(avn))
    avn.write_bytes(b"\x7fELF\xff\xfe")
    assert not loaded_avn.possible(str(avn))
    avn.write_text(FOUND[0])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "other" / "python"))
    assert not loaded_avn.possible(str(avn))


def test_it_can_be_turned_off(avn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    avn.write_text(FOUND[0])
    monkeypatch.setenv(loaded_avn.OFF, "1")
    assert not loaded_avn.possible(str(avn))


def test_without_a_standard_stream_it_is_started_plainly(avn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    avn.write_text(FOUND[0])
    monkeypatch.setattr(sys, "__stdout__", None)
    assert not loaded_avn.possible(str(avn))
