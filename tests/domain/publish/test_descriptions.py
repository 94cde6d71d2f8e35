"""Which files of a folder describe it, and which of them a page can show."""

from pathlib import Path

import pytest
from sqlalchemy import select

from server.domain.publish import descriptions, source_files
from server.domain.publish.checkpoints import Checkpoint
from server.domain.publish.descriptions import BYTES_AT_MOST, DescriptionKind
from server.domain.publish.faults import Faults, NotPublishable
from server.domain.release import agreement_texts
from tests.domain.publish.folders import put
from tests.world import World

CARD, LICENSE = DescriptionKind.CARD, DescriptionKind.LICENSE


def read(folder: Path, files: dict[str, str]) -> tuple[dict[DescriptionKind, str], list[str]]:
    put(folder, {name: text.encode() for name, text in files.items()})
    return descriptions.read(source_files.walk(folder, Faults()).files)


@pytest.mark.parametrize(
    ("files", "texts"),
    [
        ({"README.md": "of the hub", "MODEL_CARD.md": "of the model"}, {CARD: "of the model"}),
        ({"readme.txt": "a", "Licence.txt": "b", "notes.md": "c"}, {CARD: "a", LICENSE: "b"}),
        ({"COPYING": "b", "LICENSE": "a", "LICENSE-MODEL.md": "c"}, {LICENSE: "a"}),
        ({"tokenizer/README.md": "of a part", "config.json": "{}"}, {}),
        ({"README.md": "---\nlicense: mit\n---\n\n# Mini\n\n---\n\nEnd"}, {CARD: "# Mini\n\n---\n\nEnd"}),
        ({"README.md": "---\r\nlicense: mit\r\n---\r\n# Mini"}, {CARD: "# Mini"}),
        ({"README.md": "---\nlicense: mit\n---"}, {}),
        ({"README.md": "---\nnever ends"}, {CARD: "---\nnever ends"}),
        ({"README.md": "Mini\n---\nfast\n---\n"}, {CARD: "Mini\n---\nfast\n---"}),
    ],
)  # fmt: skip
def test_card_and_license_are_found_by_name(
    tmp_path: Path, files: dict[str, str], texts: dict[DescriptionKind, str]
) -> None:
    """At the top of the folder, whatever the case; a hub's fields for machines are left out."""
    assert read(tmp_path, files) == (texts, [])


def test_what_a_page_cannot_show_is_warned_of_and_left_out(tmp_path: Path) -> None:
    """Each limit, one beyond it and at it; the other text is kept."""
    for number, (text, fits) in enumerate(
        [("ä" * (BYTES_AT_MOST // 2), True), ("ä" * (BYTES_AT_MOST // 2) + "a", False),
         ("*" * agreement_texts.MARKS_AT_MOST, True), ("*" * (agreement_texts.MARKS_AT_MOST + 1), False),
         ("a\n" * agreement_texts.LINES_AT_MOST, True), ("a\n" * (agreement_texts.LINES_AT_MOST + 1), False)]
    ):  # fmt: skip
        texts, warnings = read(tmp_path / str(number), {"README.md": text, "LICENSE": "MIT"})
        assert (texts.keys() == {CARD, LICENSE}, texts[LICENSE]) == (fits, "MIT"), number
        assert [warning.partition(":")[0] for warning in warnings] == ([] if fits else ["README.md"]), number


def test_a_card_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """What is shown is what was checked."""
    files = source_files.walk(put(tmp_path, {"README.md": b"checked"}), Faults()).files
    (tmp_path / "README.md").write_text("another")
    with pytest.raises(NotPublishable, match="changed while it was being read"):
        descriptions.read(files)


def test_publishing_keeps_them_and_tells_of_what_it_does_not(world: World, tmp_path: Path) -> None:
    """With the checkpoint, not the stage; what is too long is published all the same."""
    folder = put(tmp_path / "model", {"README.md": b"# Mini", "LICENSE": b"a" * (BYTES_AT_MOST + 1)})
    told: list[str] = []
    done = world.publish(folder, "gpt-2/774M", tell=told.append)
    with world.use.database.reading() as session:
        rows = session.scalars(select(Checkpoint)).all()
        found = {row.checkpoint_id: descriptions.of(session, row.id) for row in rows}
    assert found.pop(done.checkpoint_id) == {"card": "# Mini"}
    assert set(map(len, found.values())) == {0}
    assert [line for line in told if "LICENSE: will not be shown on the page of the stage" in line] != []
    assert done.files == 2
    world.check()
