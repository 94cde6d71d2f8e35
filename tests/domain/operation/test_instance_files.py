"""Instance files: which go into a backup, whatever is renamed meanwhile."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.cli import failures
from server.domain.errors import NotPossible
from server.domain.operation import instance_files
from server.settings import FILE_NAME, Settings
from server.storage import keys, s3_roots
from tests.other_user import as_another_user
from tests.world import World, write_settings

NOW, UNTIL = datetime(2026, 11, 30, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
def made(sqlite_world: World) -> Settings:
    """Settings whose S3 secret is in the data folder's `keys`."""
    keys.write_secret(sqlite_world.folder / "keys" / "s3.key")
    url = sqlite_world.settings.database_url
    return write_settings(sqlite_world.template, sqlite_world.folder, url, s3_key_file="keys/s3.key")


def test_a_rotation_in_the_middle_is_copied_whole(
    made: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next secret becomes the current one after it was copied: both places hold what they hold in the end."""
    following, copied = s3_roots.prepare(made.s3_key_file), list[str]()
    content, copying = following.read_bytes(), instance_files.copy_private

    def rotate_after(source: Path, target: Path) -> None:
        copying(source, target)
        if source == made.s3_key_file and not copied:
            s3_roots.rotate(made.s3_key_file, NOW, UNTIL)
        copied.append(source.name)

    monkeypatch.setattr(instance_files, "copy_private", rotate_after)
    instance_files.copy(made, tmp_path / "backup")
    instance_files.put_in_place(tmp_path / "backup")
    older = f"keys/s3.key.until-{UNTIL:%Y%m%dT%H%M%SZ}"
    assert instance_files.index(tmp_path / "backup") == ["keys/s3.key", older, FILE_NAME]
    assert {path.name for path in (tmp_path / "backup" / "keys").iterdir()} == {"s3.key", Path(older).name}
    assert (tmp_path / "backup" / "keys" / "s3.key").read_bytes() == content
    for name in ("keys/s3.key", older):
        assert (tmp_path / "backup" / name).read_bytes() == (made.folder / name).read_bytes()


def test_files_that_change_for_ever_are_no_backup(
    made: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather an end than a mixture of two moments."""
    copying = instance_files.copy_private

    def rotate_after(source: Path, target: Path) -> None:
        copying(source, target)
        s3_roots.rotate(made.s3_key_file, NOW, None)

    monkeypatch.setattr(instance_files, "copy_private", rotate_after)
    with pytest.raises(NotPossible, match="keep changing"):
        instance_files.copy(made, tmp_path / "backup")
    for folder in (tmp_path / "backup", tmp_path / "backup" / instance_files.STAGED):
        assert instance_files.index(folder) is None


def test_a_file_that_cannot_be_read_ends_it_by_its_name(made: Settings) -> None:
    """A backup without it would pass for whole."""
    instance_files.require_readable(made)
    with as_another_user(made.s3_key_file.parent), pytest.raises(PermissionError) as raised:
        instance_files.require_readable(made)
    told = failures.told(raised.value)
    assert told is not None
    assert told[0][0].startswith(f"Permission denied: {made.folder}")


@pytest.mark.parametrize("name", ["../s3.key", "/etc/passwd"])
def test_an_index_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """Somebody may have written to the backup."""
    (tmp_path / instance_files.INDEX).write_text(f'{{"files": ["{FILE_NAME}", "{name}"]}}')
    with pytest.raises(NotPossible, match="is damaged"):
        instance_files.index(tmp_path)


def test_a_way_out_of_the_data_folder_is_outside(made: Settings) -> None:
    """By its name it begins there: a copy of it would be written beside the backup."""
    outside = made.folder / ".." / "s3.key"
    moved = made.model_copy(update={"secret_file": outside})
    (left,) = [file for file in instance_files.left(moved) if file.setting == "secret_file"]
    assert (left.path, left.because) == (outside, f"is outside {made.folder}")
