"""Files are replaced as a whole, with the rights that their readers need."""

from pathlib import Path

import pytest

from ccr_avn.files import PUBLIC, replace_file


def test_a_file_for_all_is_replaced_atomically(tmp_path: Path) -> None:
    target = tmp_path / "ccr.prom"
    target.write_text("old")
    target.chmod(0o600)
    replace_file(target, "new\n", PUBLIC)
    assert target.read_text() == "new\n"
    assert target.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["ccr.prom"]
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "no" / "where.prom", "x")


def test_a_link_stays_one_and_who_reads_what_it_points_to_reads_the_new(tmp_path: Path) -> None:
    target, link = tmp_path / "current.env", tmp_path / "app.env"
    target.write_text("old")
    link.symlink_to(target)
    replace_file(link, "ü→\n")
    assert (link.is_symlink(), target.read_text(encoding="utf-8")) == (True, "ü→\n")
    assert target.stat().st_mode & 0o777 == 0o600, "its owner's only, unless it is for all"
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    replace_file(circle, "new\n")
    assert circle.read_text() == "new\n"
