"""Cards: on a phone each row of a list is one. So each cell says what it is, and stays a table for screen readers.

A style sheet that lays rows out as cards takes their meaning from tables; the roles give it back.
"""

import re

_TABLE = re.compile(r'<div class="table([^"]*)"([^>]*)>\s*<table>(.*?)</table>', re.DOTALL)
_COLUMN = re.compile(r"<th\b[^>]*>(.*?)</th>", re.DOTALL)
_ROW = re.compile(r"<tr\b.*?</tr>", re.DOTALL)
_CELL = re.compile(r"<(t[dh])\b([^>]*)>")
_GROUP = re.compile(r"<(thead|tbody|tfoot)\b")
_LABEL = re.compile(r' data-label="[^"]*"')
_TAG = re.compile(r"<[^>]*>")
_ROLES = {"td": "cell", "th": "rowheader"}


class _Uneven(Exception):
    """A row has another number of cells than there are columns."""


def labelled(page: str) -> str:
    """Return a page whose lists can be shown as cards: those of three columns or more, each with a cell in all rows."""
    return _TABLE.sub(_as_cards, page) if "<table>" in page else page


def _as_cards(found: re.Match[str]) -> str:
    kinds, attributes, table = found.groups()
    head, end, rest = table.partition("</thead>")
    names = [" ".join(_TAG.sub("", column).split()).replace('"', "&#34;") for column in _COLUMN.findall(head)]
    labels = [f' data-label="{name}"' for name in names]
    if len(labels) < 3:
        return found[0]
    try:
        rest = _ROW.sub(lambda row: _row(row[0], labels), rest)
    except _Uneven:
        return found[0]
    head = head.replace("<tr>", '<tr role="row">').replace("<th ", '<th role="columnheader" ')
    body = _GROUP.sub(r'<\1 role="rowgroup"', head + end + rest)
    return f'<div class="table as-cards{kinds}"{attributes}><table role="table">{body}</table>'


def _row(row: str, labels: list[str]) -> str:
    """Give each cell its column's label, but a cell across all columns none."""
    left = iter(labels)
    row, cells = _CELL.subn(
        lambda cell: f'<{cell[1]} role="{_ROLES[cell[1]]}"{next(left, "")}{cell[2]}>',
        row.replace("<tr", '<tr role="row"', 1),
    )
    if cells == len(labels):
        return row
    if "colspan" not in row:
        raise _Uneven
    return _LABEL.sub("", row)
