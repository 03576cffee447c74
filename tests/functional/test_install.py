"""Each way of installing gives a ccr-avn that does the main job: a folder, a wheel, and one file with all inside."""

import fcntl
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import ccr_avn
from tests.support.operator import EU, US, Operator

ROOT = Path(__file__).parents[2]
PLAIN = "/usr/bin:/bin"
"""A PATH in which there is no avn."""


def enables(operator: Operator, *program: str, **environment: str) -> None:
    """By an avn that it finds by itself, forked and started."""
    for words in ((), ("--no-preload",)):
        clouds = ("--primary-cloud", EU, "--replica-cloud", US)
        asked = (*program, "enable", "eu", "us", *clouds, "--poll-interval", "0.5", *words)
        done = operator.types(*asked, PATH=PLAIN, CCR_AVN_BIN="", **environment)
        assert done.code == 0, done.err
        assert "replication is proven" in done.out
    assert "nothing was changed" in done.out


@pytest.mark.slow
def test_it_enables_a_pair_from_a_folder_without_scripts(operator: Operator, tmp_path: Path) -> None:
    """As `pip install --target` makes one: run by an interpreter that has nothing installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    for one in (*Path(sysconfig.get_path("purelib")).iterdir(), Path(str(ccr_avn.__file__)).parent):
        if one.name != "bin" and one.suffix != ".pth":
            (folder / one.name).symlink_to(one)
    python = str(getattr(sys, "_base_executable", sys.executable))
    enables(operator, python, "-m", "ccr_avn", PYTHONPATH=str(folder))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of a release are: those that were built before, or new ones."""
    if before := os.environ.get("CCR_AVN_TESTS_DIST"):
        return Path(before)
    everybodys = tmp_path_factory.getbasetemp()
    folder = (everybodys.parent if "PYTEST_XDIST_WORKER" in os.environ else everybodys) / "dist"
    with folder.with_suffix(".lock").open("w") as lock:  # once for all workers
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ccr-avn.pyz").exists():
            subprocess.run([str(ROOT / "scripts" / "build"), str(folder)], check=True)
    return folder


@pytest.mark.slow
def test_every_link_of_the_description_leads_to_a_file_of_this_version(built: Path) -> None:
    """Where the package is shown there is no repository beside it."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        (metadata,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        links = re.findall(r"\]\(([^)]+)\)", file.read(metadata).decode())
    ours = f"https://github.com/ccr-avn/ccr-avn/blob/v{ccr_avn.__version__}/"
    assert not [link for link in links if not link.startswith(("https://", "#"))]
    files = [link.removeprefix(ours).partition("#")[0] for link in links if link.startswith(ours)]
    assert len(files) > 10
    assert not [file for file in files if not (ROOT / file).exists()]


@pytest.mark.slow
def test_the_wheel_enables_a_pair_from_an_environment_of_its_own(
    operator: Operator, built: Path, tmp_path: Path
) -> None:
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    (wheel,) = built.glob("*.whl")
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    subprocess.run([str(home / "bin" / "python"), *install], check=True)
    ours = str(home / "bin" / "ccr-avn")
    assert operator.types(ours, "--version").out == f"ccr-avn {ccr_avn.__version__}\n"
    enables(operator, ours)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the one file is for Linux")
def test_the_one_file_enables_a_pair_without_an_avn_in_path(operator: Operator, built: Path, tmp_path: Path) -> None:
    python = str(getattr(sys, "_base_executable", sys.executable))
    unpacked = {"SHIV_ROOT": str(tmp_path / "unpacked")}
    ours = (python, str(built / "ccr-avn.pyz"))
    assert operator.types(*ours, "--version", **unpacked).out == f"ccr-avn {ccr_avn.__version__}\n"
    enables(operator, *ours, **unpacked)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the one file is for Linux")
def test_the_one_file_is_avn_by_that_name(operator: Operator, built: Path, tmp_path: Path) -> None:
    """So that people can log in where there is nothing else, and paste what a preview prints."""
    (tmp_path / "avn").symlink_to(built / "ccr-avn.pyz")
    (tmp_path / "ccr-avn").symlink_to(built / "ccr-avn.pyz")
    path = f"{tmp_path}:{Path(str(getattr(sys, '_base_executable', sys.executable))).parent}:{PLAIN}"
    typed = {"SHIV_ROOT": str(tmp_path / "unpacked"), "PATH": path, "CCR_AVN_BIN": ""}
    assert operator.types(str(tmp_path / "avn"), "--version", **typed).out.startswith("aiven-client ")
    clouds = ("--primary-cloud", EU, "--replica-cloud", US)
    preview = operator.types(str(tmp_path / "ccr-avn"), "enable", "eu", "us", *clouds, "--dry-run", **typed)
    assert preview.code == 0, preview.err
    pasted = operator.pastes(preview.out, SHIV_ROOT=str(tmp_path / "unpacked"), PATH=path, CCR_AVN_BIN="")
    assert pasted.code == 0, pasted.err
    assert '"eu"' in operator.avn("service", "list", "--json").out


OLDEST = "2.14.8"


@pytest.fixture(scope="session")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("oldest")
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"aiven-client=={OLDEST}"]
    subprocess.run([str(home / "bin" / "python"), *install], check=True)
    return home / "bin" / "avn"


@pytest.mark.slow
def test_the_oldest_supported_avn_enables_a_pair(operator: Operator, oldest: Path) -> None:
    done = operator.enable("--avn", str(oldest))
    assert done.code == 0, done.err
    again = operator.enable("--avn", str(oldest))
    assert again.code == 0, again.err
    assert "nothing was changed" in again.out
    doctor = operator.ends(0, "doctor", "--avn", str(oldest))
    assert OLDEST in doctor.out
