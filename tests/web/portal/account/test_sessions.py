"""Sessions on their page: seen, and ended, by their person alone."""

from sqlalchemy import select

from server.domain.identity.sessions import SignIn
from tests.world import World


def test_sessions_are_seen_and_ended(sqlite_world: World) -> None:
    """One, all others, and the one that one is in, which is signing out; another person's is not there."""
    first, second, foreign = (sqlite_world.visit(name) for name in ("cleared", "cleared", "unsigned"))
    with sqlite_world.use.database.reading() as session:
        ids = list(session.scalars(select(SignIn.id).order_by(SignIn.id)))
    page = first.get("/account/sessions")
    assert page.text.count(">End session<") == 1
    assert first.post(f"/account/sessions/{ids[2]}/end").status_code == 404
    assert first.post(f"/account/sessions/{ids[1]}/end").status_code == 303
    assert second.get("/account").status_code == 303
    assert foreign.get("/account").status_code == 200
    third = sqlite_world.visit("cleared")
    assert first.post("/account/sessions/end-others").status_code == 303
    assert third.get("/account").status_code == 303
    out = first.post(f"/account/sessions/{ids[0]}/end")
    assert out.headers["Location"] == "/sign-in"
    assert first.get("/account").status_code == 303
