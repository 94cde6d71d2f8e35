"""The secrets that S3 keys are made from: replaced without a restart, the old one is taken as long as its name says."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.storage import keys, s3_roots
from server.storage.keys import KeyFileError
from server.storage.s3_roots import S3Roots

AT = datetime(2026, 11, 29, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "keys" / "s3.key"
    keys.write_secret(made)
    return made


def test_a_rotation_is_followed_at_once(path: Path) -> None:
    """New keys come from the new secret; the old one is taken until the moment that its file is named after."""
    roots = S3Roots(path)
    old = roots.making()
    s3_roots.rotate(path, AT, AT + HOUR)
    new = roots.making()
    assert new != old
    assert roots.taken(AT) == roots.taken(AT + HOUR - timedelta(seconds=1)) == [new, old]
    assert roots.taken(AT + HOUR) == [new]
    assert set(roots.every()) == {new, old}
    assert {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {
        "s3.key": 0o600, "s3.key.until-20261129T161200Z": 0o600,
    }  # fmt: skip


def test_a_prepared_secret_is_taken_before_it_makes_keys(path: Path, tmp_path: Path) -> None:
    """So machines can change one after another: each takes what any other makes."""
    there = tmp_path / "another machine" / "s3.key"
    keys.write_private(there, path.read_bytes())
    here, other = S3Roots(path), S3Roots(there)
    following = s3_roots.prepare(path)
    with pytest.raises(FileExistsError):
        s3_roots.prepare(path)
    assert here.making() == other.making()
    keys.write_private(there.with_name(following.name), following.read_bytes())
    for rotated in (path, there):
        assert here.making() in other.taken(AT)
        assert other.making() in here.taken(AT)
        s3_roots.rotate(rotated, AT, AT + HOUR)
    assert here.making() == other.making()
    assert here.making() in other.taken(AT)


def test_after_a_leak_no_older_secret_is_taken(path: Path) -> None:
    """Nor those of earlier rotations, whatever their names say."""
    roots = S3Roots(path)
    s3_roots.rotate(path, AT, AT + HOUR)
    s3_roots.rotate(path, AT, AT + 2 * HOUR)
    assert len(roots.taken(AT)) == 3
    s3_roots.rotate(path, AT, None)
    assert roots.taken(AT) == roots.taken(AT - HOUR) == [roots.making()]
    assert [file.name for file in path.parent.iterdir()] == ["s3.key"]


def test_what_has_ended_goes_with_the_next_rotation(path: Path) -> None:
    """And what has not stays."""
    s3_roots.rotate(path, AT, AT + HOUR)
    s3_roots.rotate(path, AT + HOUR / 2, AT + HOUR * 1.5)
    s3_roots.rotate(path, AT + HOUR, AT + HOUR * 2)
    names = sorted(file.name for file in path.parent.iterdir())
    assert names == ["s3.key", "s3.key.until-20261129T164200Z", "s3.key.until-20261129T171200Z"]


def test_a_rotation_that_broke_off_is_finished_by_the_next(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the old secret linked and not replaced, it goes on making keys."""
    roots = S3Roots(path)
    old = roots.making()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: pytest.fail("crash"))
        with pytest.raises(pytest.fail.Exception):
            s3_roots.rotate(path, AT, AT + HOUR)
    assert roots.making() == old
    following = path.with_name("s3.key.next").read_bytes()
    s3_roots.rotate(path, AT, AT + HOUR)
    assert roots.making() == following
    assert roots.taken(AT) == [following, old]


def test_a_file_that_cannot_be_used_changes_nothing(path: Path) -> None:
    """While the process runs; at a start it is refused, and named."""
    roots = S3Roots(path)
    old = roots.making()
    open_to_all = path.with_name("s3.key.next")
    keys.write_secret(open_to_all)
    open_to_all.chmod(0o644)
    assert roots.taken(AT) == [old]
    with pytest.raises(KeyFileError, match=r"s3\.key\.next is readable by others"):
        S3Roots(path)


def test_names_that_are_none_are_left_alone(path: Path) -> None:
    """A copy that an editor made, or a day of no year, is no secret."""
    for name in ("s3.key.until-20261399T161200Z", "s3.key.until-soon", "s3.key.bak", "s3.key.until-20261129T161200Z~"):
        (path.parent / name).write_bytes(b"x")
    roots = S3Roots(path)
    assert roots.taken(AT) == [roots.making()]
