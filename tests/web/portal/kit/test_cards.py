"""Cards: lists as a phone shows them, before any script has run."""

import re

import pytest

from server.web.portal.kit import cards
from tests.world import World

HEADS = (
    '<thead><tr><th scope="col">When</th><th scope="col"><a href="?sort=">The "who"</a></th>'
    '<th scope="col">&lt;What&gt;</th></tr></thead>'
)
WHOLE = '<tr class="good"><th scope="row">now</th><td>Ada</td><td class="num">7</td></tr>'
ACROSS = '<tr><td colspan="3">12 more</td></tr>'


def page(rows: str, heads: str = HEADS) -> str:
    return f'<h1>List</h1>\n<div class="table" tabindex="0"><table>{heads}<tbody>{rows}</tbody></table></div>'


def test_each_cell_says_what_its_column_is() -> None:
    """In words that cannot end the attribute; and a table laid out as cards still is one to a screen reader."""
    shown = cards.labelled(page(WHOLE + ACROSS))
    assert (
        '<div class="table as-cards" tabindex="0"><table role="table"><thead role="rowgroup"><tr role="row">' in shown
    )
    assert shown.count('<th role="columnheader" scope="col">') == 3
    assert '<tr role="row" class="good"><th role="rowheader" data-label="When" scope="row">now</th>' in shown
    assert '<td role="cell" data-label="The &#34;who&#34;">Ada</td>' in shown
    assert '<td role="cell" data-label="&lt;What&gt;" class="num">7</td>' in shown
    assert '<tr role="row"><td role="cell" colspan="3">12 more</td></tr>' in shown


@pytest.mark.parametrize(
    "plain",
    [
        "<p>No list.</p>",
        page("<tr><td>a</td><td>b</td></tr>", '<thead><tr><th scope="col">A</th><th scope="col">B</th></tr></thead>'),
        page(WHOLE + "<tr><td>one</td><td>two</td></tr>"),
        page(WHOLE).replace('class="table"', 'class="other"'),
    ],
    ids=["no table", "two columns", "a cell is missing", "no list"],
)
def test_what_is_no_list_of_three_columns_stays_as_it_is(plain: str) -> None:
    """Two columns have room on a phone, and what would be labelled wrongly is not labelled."""
    assert cards.labelled(plain) == plain


def test_the_lists_of_all_are_labelled_without_script(sqlite_world: World) -> None:
    """Each of three columns and more, for partners, admins and auditors: all cells, by the heads above them."""
    lists = {
        "cleared": ["/downloads", "/tokens", "/people"], "auditor": ["/audit/log", "/audit/verifications"],
        "admin": ["/admin/organizations", "/admin/people", "/admin/agreements", "/admin/stages/gpt-2/774M"],
    }  # fmt: skip
    found = 0
    for name, paths in lists.items():
        visit = sqlite_world.visit(name)
        for path in paths:
            tables = re.findall(r'<div class="table[ "].*?</table>', visit.get(path).text, re.DOTALL)
            wide = [table for table in tables if table.count('scope="col"') > 2]
            assert all("as-cards" in table for table in wide), path
            cells = re.findall(r"<td\b[^>]*>", " ".join(wide))
            assert [cell for cell in cells if "data-label" not in cell and "colspan" not in cell] == [], path
            found += len(cells)
    assert found > 50
