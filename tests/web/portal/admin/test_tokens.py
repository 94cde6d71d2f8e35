"""Tokens: an admin revokes anybody's."""

from tests.visits import words
from tests.world import World


def test_a_revoked_token_stops_at_its_next_request(sqlite_world: World) -> None:
    """The page before says whose it is; a second time is refused, and an unknown one not found."""
    world = sqlite_world
    admin, public_id = world.visit("admin"), world.example.tokens["cleared"][4:16]
    assert "Iris Okafor" in words(admin.get(f"/admin/tokens/{public_id}/revoke"))
    assert world.api("GET", "/me").status_code == 200
    answer = admin.post(f"/admin/tokens/{public_id}/revoke")
    assert answer.headers["Location"] == "/admin/organizations/aurora-institute"
    assert world.api("GET", "/me").status_code == 401
    assert admin.post(f"/admin/tokens/{public_id}/revoke").status_code == 409
    assert admin.post("/admin/tokens/aaaaaaaaaaaa/revoke").status_code == 404
    assert world.visit("auditor").post(f"/admin/tokens/{public_id}/revoke").status_code == 403
