"""Every form of the portal sent twice: by a double click, by the back button: it does once what it asks for."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from server.storage.database import Base
from tests.filled_forms import CHALLENGES, FORMS
from tests.matrix import PAGES
from tests.world import World

ROOT = Path(__file__).parents[1]
POSTS = {row.rule: row for row in PAGES if row.method == "POST"}
# What a request leaves behind whether or not it does something.
TRACES = {"refusals", "token_uses"}
ALSO_ON_SQLITE = list(FORMS)[::16]  # which has one writer at a time: there it is a race of requests, not of statements
TRACES_OF_SESSIONS = {"last_used_at", "proved_at"}


def test_every_form_is_among_them() -> None:
    """A new one is filled in here, or is one that works once by itself."""
    assert set(FORMS) | set(CHALLENGES) == set(POSTS)
    assert not set(FORMS) & set(CHALLENGES)
    for rule, path in CHALLENGES.items():
        assert rule.partition("<")[0] in (ROOT / path).read_text(encoding="utf-8"), rule


@pytest.mark.parametrize(
    ("their_world", "rule"),
    [*(("postgresql", rule) for rule in FORMS), *(("sqlite", rule) for rule in ALSO_ON_SQLITE)],
    indirect=["their_world"],
)
def test_a_form_sent_twice_does_one_thing(their_world: World, theirs: dict[str, Any], rule: str) -> None:
    """Twice at the same moment, and once more a while later: one is taken; what the others find is said to them."""
    world, filled = their_world, FORMS[rule]
    known = theirs | filled.before(world)
    fields = {name: value or str(known[name]) for name, value in filled.fields.items()}
    address = POSTS[rule].address(known)
    here = world.visit(filled.by)
    csrf, before = here.csrf_token, contents(world)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: here.post(address, fields, csrf=csrf).status_code, range(2)))
    after = contents(world)
    assert min(answers) < 400, answers
    assert max(answers) < 500, answers
    times = 2 if filled.again else 1
    assert len(after["log_entries"]) - len(before["log_entries"]) == filled.entries * times

    later = here.post(address, fields, csrf=csrf)
    assert later.status_code < 500
    assert bool(filled.again) == (contents(world) != after)


def contents(world: World) -> dict[str, list[Any]]:
    """All rows of all tables, but for the traces that every request leaves."""
    found = {}
    with world.use.database.reading() as session:
        for table in Base.metadata.sorted_tables:
            if table.name not in TRACES:
                columns = [column for column in table.columns if column.name not in TRACES_OF_SESSIONS]
                found[table.name] = sorted(map(tuple, session.execute(select(*columns))), key=repr)
    return found
