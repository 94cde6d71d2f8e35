"""Which files a folder has, what they may be called, and what is no file at all."""

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from server.domain.publish import source_files
from server.domain.publish.faults import Faults, NotPublishable, shown
from server.domain.publish.source_files import Folder, SourceFile


def put(folder: Path, names: Iterable[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"{}")
    return folder


def found(folder: Path) -> Folder:
    """Walk, and refuse what is to be refused."""
    faults = Faults()
    walked = source_files.walk(folder, faults)
    faults.refuse()
    return walked


def walk(folder: Path) -> Sequence[SourceFile]:
    return found(folder).files


def refusal(folder: Path) -> str:
    """Walk, and return the one line it is refused with."""
    with pytest.raises(NotPublishable) as caught:
        walk(folder)
    text = str(caught.value)
    for line in text.splitlines():
        assert line.isprintable()
        assert "; " in line  # what is wrong; what to do
    return text


@pytest.mark.parametrize(
    "name",
    [".gitmodules", ".cache/a.txt", ".cache/huggingface",
     "a b.txt", "a:b.txt", "ä.txt", "a\nb.txt", "a..b.txt", "a\\b.txt", "x" * 129,
     "%2e.txt", "a\u202etxt.json", "(1).json"],
)  # fmt: skip
def test_a_name_that_not_every_system_can_store_is_refused(tmp_path: Path, name: str) -> None:
    refusal(put(tmp_path, ["config.json", name]))


@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("CON.json", "Windows reserves for a device"), ("aux.json", "Windows reserves for a device"),
        ("nul", "Windows reserves for a device"), ("com1.safetensors", "Windows reserves for a device"),
        ("lpt9/a.json", "Windows reserves for a device"), ("a.json.", "ends in a dot or a space"),
        ("a.json ", "ends in a dot or a space"), ("below./a.json", "ends in a dot or a space"),
        ("-rf.safetensors", "starts with a hyphen, which commands treat as an option"),
    ],
)  # fmt: skip
def test_a_name_that_some_system_reads_otherwise_is_refused(tmp_path: Path, name: str, because: str) -> None:
    """A device, an option, or another name: a partner could not store or name the file."""
    assert because in refusal(put(tmp_path, [name]))
    put(tmp_path, ["console.json", "auxiliary.json", "com10.json", "a-b.json"])
    assert refusal(tmp_path).count("\n") == 0


def test_what_a_hub_or_a_mac_leaves_beside_the_files_is_left_out_and_said(tmp_path: Path) -> None:
    """Also as links of a hub's cache, and below; anything else hidden stays refused."""
    put(tmp_path, ["a.json", ".gitattributes", ".cache/huggingface/x/.lock", "below/b.json", "below/.DS_Store"])
    (tmp_path / ".gitignore").symlink_to("nowhere")
    walked = found(tmp_path)
    assert [file.path for file in walked.files] == ["a.json", "below/b.json"]
    assert walked.left_out == [".cache/huggingface/", ".gitattributes", ".gitignore", "below/.DS_Store"]
    put(tmp_path, [".cache/pip/x"])
    assert refusal(tmp_path).startswith(".cache: is hidden")


def test_a_name_that_is_not_even_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.json")).write_bytes(b"{}")
    assert "udcff" in refusal(tmp_path)


def test_a_path_has_a_bounded_length(tmp_path: Path) -> None:
    put(tmp_path, ["/".join(["f" * 100] * 5) + "/a.json"])
    assert walk(tmp_path)
    put(tmp_path, ["/".join(["f" * 100] * 5) + "/ab.json"])
    assert walk(tmp_path)[1].path.endswith("ab.json")
    put(tmp_path, ["/".join(["f" * 100] * 5) + "/abc.json"])
    assert "more than 512 characters" in refusal(tmp_path)


@pytest.mark.parametrize(
    "names",
    [("a.json", "A.json"), ("x/a.json", "X/b.json"), ("x/y/a.json", "x/Y/b.json"), ("README/a.json", "readme/b.json"),
     ("LICENSE", "license/a.json"), ("x/LICENSE", "x/License/a.json")],
)  # fmt: skip
def test_names_that_differ_in_case_only_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    """On many partners' disks one would overwrite the other."""
    text = refusal(put(tmp_path, names))
    assert "only in case" in text


def test_a_folder_must_be_there_and_hold_something(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent").startswith(str(tmp_path / "absent")[:20])
    assert "contains no files" in refusal(tmp_path)
    (tmp_path / "inner" / "most").mkdir(parents=True)
    assert "contains no files" in refusal(tmp_path)
    put(tmp_path, ["inner/a.json"])
    assert "is not a folder" in refusal(tmp_path / "inner" / "a.json")
    assert [file.path for file in walk(tmp_path)] == ["inner/a.json"]


def test_links_are_refused_below_the_folder_and_followed_to_it(tmp_path: Path) -> None:
    folder, outside = put(tmp_path / "in", ["a.json"]), put(tmp_path / "out", ["b.json"])
    (tmp_path / "latest").symlink_to(folder)
    assert [file.path for file in walk(tmp_path / "latest")] == ["a.json"]
    for target in (outside / "b.json", outside, folder / "a.json", tmp_path / "nowhere"):
        (folder / "link.json").symlink_to(target)
        assert refusal(folder).startswith("link.json: is a symbolic link; publish a copy made with `cp -rL`")
        (folder / "link.json").unlink()


def test_pipes_sockets_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    put(tmp_path, ["a.json"])
    os.mkfifo(tmp_path / "pipe.json")
    assert refusal(tmp_path).startswith("pipe.json: is a pipe, socket or device")
    (tmp_path / "pipe.json").unlink()
    os.mknod(tmp_path / "s.json", stat.S_IFSOCK | 0o600)
    assert refusal(tmp_path).startswith("s.json: is a pipe, socket or device")


def test_a_wrong_folder_ends_the_walk_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_files, "MAX_FILES", 3)
    put(tmp_path, ["a/a.json", "b/b.json", "c/c.json"])
    assert len(walk(tmp_path)) == 3
    put(tmp_path, ["a/d.json"])
    assert "contains 4 files; the limit of a checkpoint is 3" in refusal(tmp_path)
    (tmp_path / "a" / "d.json").unlink()
    (tmp_path / "empty").mkdir()
    assert "contains 4 folders; the limit of a checkpoint is 3" in refusal(tmp_path)


def test_the_true_number_of_files_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to a bound, behind which nobody waits for the end."""
    put(tmp_path, [f"{number}.json" for number in range(1100)])
    assert "contains 1100 files; the limit of a checkpoint is 1000" in refusal(tmp_path)
    monkeypatch.setattr(source_files, "COUNTED_AT_MOST", 1050)
    assert "contains more than 1050 files" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a/b.txt", "a/b.txt"),
        ("a\nb\x1b[31m", "a\\nb\\x1b[31m"),
        ("ä\udcff", "\\xe4\\udcff"),
        ("x" * 900, "x" * 60 + "…" + "x" * 60),
    ],
)
def test_a_foreign_name_cannot_break_out_of_its_line(text: str, line: str) -> None:
    assert shown(text) == line
