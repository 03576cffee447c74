"""Which programs can be loaded and forked: avn's plain console script alone, as installers write it."""

import ast
import sys
from pathlib import Path

import pytest

from ccr_avn import preload

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
LONG = "#!/bin/sh\n'''exec' \"/a long/path/python\" \"$0\" \"$@\"\n' '''\n"
FOUND = (
    ("#!/opt/avn/bin/python\n" + PIP, ("/opt/avn/bin/python",)),
    ("#!/opt/avn/bin/python3.13\n" + NEW_PIP, ("/opt/avn/bin/python3.13",)),
    ("#!/usr/bin/python3 -sP\n" + NEW_PIP, ("/usr/bin/python3", "-sP")),
    ("#!/opt/avn/bin/python\n" + UV, ("/opt/avn/bin/python",)),
    (LONG + PIP, ("/a long/path/python",)),
    (LONG.replace('"/a long/path/python"', "/a/path/python") + UV, ("/a/path/python",)),
)


@pytest.mark.parametrize(("text", "interpreter"), FOUND, ids=range(len(FOUND)))
def test_a_console_script_of_avn(text: str, interpreter: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "avn"
    path.write_text(text)
    assert preload.script_at(str(path)) == preload.Script(interpreter=interpreter, module="aiven.client.__main__")


OTHER = (
    "",
    PIP,
    "#!/usr/bin/env python3\n" + PIP,
    '#!/bin/sh\nexec /opt/avn/bin/avn "$@"\n',
    "#!/opt/avn/bin/python\nimport os\n" + PIP,
    "#!/opt/avn/bin/python\n" + PIP.replace("aiven.client.__main__", "somebody.else"),
    "#!/opt/avn/bin/python\n" + PIP.replace("sys.exit(main())", "main()"),
    "#!/opt/avn/bin/python\n" + PIP + "#" * 4096,
    "#!/opt/avn/bin/python\n__requires__ = 'aiven-client'\nfrom pkg_resources import load_entry_point\n",
)


@pytest.mark.parametrize("text", OTHER, ids=range(len(OTHER)))
def test_whatever_else_is_started_plainly(text: str, tmp_path: Path) -> None:
    path = tmp_path / "avn"
    path.write_text(text)
    assert preload.script_at(str(path)) is None


def test_what_is_no_text_is_started_plainly(tmp_path: Path) -> None:
    (tmp_path / "avn").write_bytes(b"\x7fELF\xff\xfe")
    assert preload.script_at(str(tmp_path / "avn")) is None
    assert preload.script_at(str(tmp_path / "nothing")) is None


def test_the_helper_needs_nothing_but_an_old_python() -> None:
    """It is run by the Python that avn is installed in."""
    tree = ast.parse(preload.HELPER.read_text(), feature_version=(3, 8))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names
