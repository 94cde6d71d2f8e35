"""Descriptions: a checkpoint's model card and license, kept beside its files, because pages never read the store."""

import re
from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import ForeignKey, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.publish.source_files import SourceFile
from server.domain.release import agreement_texts
from server.storage.database import Base

BYTES_AT_MOST = 100_000  # of each: a page shows both whole
# A hub's fields for machines, which a reader of Markdown takes for a heading.
_FRONT_MATTER = re.compile(r"\A---\r?\n.*?^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


class DescriptionKind(StrEnum):
    """What a description is about. Values fit the column and are never renamed."""

    CARD = "card"  # Markdown
    LICENSE = "license"  # shown as it was typed


# At the top of the folder, the first of these that is there, in any case of letters.
NAMES = {
    DescriptionKind.CARD: ("model_card.md", "model-card.md", "readme.md", "readme.txt", "readme"),
    DescriptionKind.LICENSE: (
        "license", "license.md", "license.txt", "licence", "licence.md", "licence.txt",
        "copying", "copying.md", "copying.txt",
    ),
}  # fmt: skip


class CheckpointDescription(Base):
    """A text of a checkpoint for people. The file itself, which the manifest signs, is what counts."""

    __tablename__ = "checkpoint_descriptions"
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"), primary_key=True)
    kind: Mapped[DescriptionKind] = mapped_column(String(8), primary_key=True)
    text: Mapped[str] = mapped_column(Text)


def read(files: Sequence[SourceFile]) -> tuple[dict[DescriptionKind, str], list[str]]:
    """Return the descriptions in a folder that was found sound, and a warning for each that pages cannot show.

    Raises NotPublishable when a file has changed since.
    """
    at_top = {file.path.lower(): file for file in files}
    texts: dict[DescriptionKind, str] = {}
    warnings: list[str] = []
    for kind, names in NAMES.items():
        file = next((at_top[name] for name in names if name in at_top), None)
        if file is None:
            continue
        text = _text_of(file) if file.size_bytes <= BYTES_AT_MOST else None
        if text is None or not agreement_texts.is_shown_quickly(text):
            warnings.append(
                f"{file.path}: will not be shown on the page of the stage, because it has more than {BYTES_AT_MOST} "
                f"bytes, {agreement_texts.LINES_AT_MOST} lines or {agreement_texts.MARKS_AT_MOST} Markdown characters"
            )
        elif text := _FRONT_MATTER.sub("", text).strip():
            texts[kind] = text
    return texts, warnings


def of(session: Session, checkpoint_pk: int) -> dict[str, str]:
    """A checkpoint's descriptions, by kind. Whether the caller may read them is for others to decide."""
    query = select(CheckpointDescription).where(CheckpointDescription.checkpoint_id == checkpoint_pk)
    return {str(row.kind): row.text for row in session.scalars(query)}


def _text_of(file: SourceFile) -> str:
    with file.open_unchanged() as stream:
        content = stream.read(BYTES_AT_MOST)
        file.require_unchanged(stream)
    return content.decode("utf-8")
