"""Entry kinds: one enumeration, which everything asks; no text of a kind stands anywhere else."""

import ast
from pathlib import Path

import pytest

import server.domain
from server.domain import entry_kinds
from server.domain.entry_kinds import KINDS, EntryKind
from server.domain.permissions import Permission

HERE = Path(entry_kinds.__file__)
MODULES = sorted(path for path in Path(server.domain.__file__).parent.rglob("*.py") if path != HERE)
# Words that are a kind's as well as something else's: a permission, a kind of alarm, a mapping's key.
OTHERWISE = {"alarm", "download", "heartbeat", "reconciliation"} | {str(permission) for permission in Permission}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(HERE.parent).as_posix())
def test_no_kind_is_written_as_text(path: Path) -> None:
    """A kind that is misspelled would be a fault in a log that nobody can mend."""
    constants = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    kinds = {str(kind) for kind in EntryKind} - OTHERWISE
    allowed = {str(kind) for kind in EntryKind} & OTHERWISE if path.name == "permissions.py" else set()
    assert {value for value in constants if isinstance(value, str)} & kinds <= allowed


def test_every_kind_is_in_the_table() -> None:
    """Each has words, and what ends something has a family; a kind without would be named by no page."""
    assert list(KINDS) == list(EntryKind)
    assert all(about.words for about in KINDS.values())
    assert {about.resumes for about in KINDS.values()} <= {about.ends for about in KINDS.values()}


@pytest.mark.parametrize(
    ("kind", "record", "told"),
    [
        (EntryKind.DOWNLOAD, {"download": "x", "model": "gpt-2", "stage": "774M"}, ("x", "gpt-2/774M", None)),
        (EntryKind.HOLD_PLACE, {"on": "gpt-2/774M"}, ("gpt-2/774M", "gpt-2/774M", None)),
        (EntryKind.HOLD_LIFT, {"on": "everything"}, ("everything", None, None)),
        (EntryKind.MODEL_ADD, {"stage": "gpt-2"}, ("gpt-2", None, None)),
        (EntryKind.ALARM, {"alarm": "ghost_read"}, (None, None, "ghost_read")),
        (EntryKind.LOG_OPEN, {"origin": "a.example/downloads/2027"}, ("2027", None, None)),
        (EntryKind.CLEARANCE_APPROVE, {"clearance": 7, "model": "gpt-2"}, ("7", None, None)),
        (EntryKind.HEARTBEAT, {}, (None, None, None)),
    ],
)
def test_columns_follow_from_the_record(
    kind: EntryKind, record: dict[str, object], told: tuple[str | None, str | None, str | None]
) -> None:
    """What a row is found by is what its record says, and nothing is said twice."""
    assert tuple(entry_kinds.columns(kind, record).values()) == told
