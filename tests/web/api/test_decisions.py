"""`/api/v1/decisions`: staff read them, with all that they rested on; nobody else does."""

from tests.domain.decisions.test_proposing import propose
from tests.world import World


def test_staff_list_and_read_decisions(sqlite_world: World) -> None:
    """Newest first, in parts; one with its texts and its evidence."""
    made = propose(sqlite_world)
    page = sqlite_world.api("GET", "/decisions?limit=2", "auditor").json
    assert [one["id"] for one in page["items"]] == [made.id, made.id - 1]
    assert page["next_cursor"] is not None
    one = sqlite_world.api("GET", f"/decisions/{made.id}", "auditor").json
    assert (one["state"], one["from_state"], one["to_state"]) == ("proposed", "partners", "public")
    assert one["rationale"] == "No partner found misuse."
    assert one["evidence"]["downloads"] == 0
    assert one["evidence_when_done"] is None


def test_partners_read_none(sqlite_world: World) -> None:
    """Not even that there is one."""
    for path in ("/decisions", "/decisions/1", "/decisions/4711"):
        assert sqlite_world.api("GET", path, "cleared").status_code == 403
    assert sqlite_world.api("GET", "/decisions/4711", "admin").status_code == 404
