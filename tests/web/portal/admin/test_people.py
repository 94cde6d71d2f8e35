"""People: the lab's own, and what is done about anybody."""

from tests.visits import words
from tests.world import World


def key(world: World, name: str) -> int | None:
    return world.person(name).person_id


def test_disabling_stops_a_person_and_says_what_it_takes(sqlite_world: World) -> None:
    """Their session and their tokens end; enabling brings back the person, not the tokens."""
    world = sqlite_world
    admin, theirs = world.visit("admin"), world.visit("cleared")
    page = f"/admin/people/{key(world, 'cleared')}"
    assert "1 token that they created is permanently revoked" in words(admin.get(f"{page}/disable"))
    late = admin.post(f"{page}/disable")
    assert late.status_code == 409  # the last owner
    assert "one of the last people with the role owner" in words(late)
    publisher = f"/admin/people/{key(world, 'publisher')}"
    theirs = world.visit("publisher")
    assert theirs.get("/").status_code == 200
    assert admin.post(f"{publisher}/disable").status_code == 303
    assert theirs.get("/").status_code == 303
    assert "disabled" in words(admin.get(publisher))
    assert admin.post(f"{publisher}/disable").status_code == 409
    assert admin.post(f"{publisher}/enable").status_code == 303
    assert "Active tokens 0" in words(admin.get(publisher))


def test_nobody_disables_themselves(sqlite_world: World) -> None:
    """There is no button for it, and the form sent all the same is refused."""
    world = sqlite_world
    mine = f"/admin/people/{key(world, 'admin')}"
    assert "Disable" not in words(world.visit("admin").get(mine))
    refused = world.visit("admin").post(f"{mine}/disable")
    assert refused.status_code == 409
    assert "You cannot disable your own account" in words(refused)


def test_a_role_is_changed_inside_its_organization(sqlite_world: World) -> None:
    """A partner's person never becomes staff; one of the lab's gets another role by two admins."""
    world = sqlite_world
    admin = world.visit("admin")
    publisher, owner = (f"/admin/people/{key(world, name)}/role" for name in ("publisher", "cleared"))
    assert admin.post(publisher, {"role": "auditor"}).status_code == 303
    page = publisher.removesuffix("/role")
    assert "Role publisher" in words(admin.get(page))
    assert "proposed the role auditor" in words(admin.get(page))
    assert admin.post(f"{publisher}/approve").status_code == 409
    assert world.visit("admin2").post(f"{publisher}/approve").status_code == 303
    assert "Role auditor" in words(admin.get(page))
    assert admin.post(owner, {"role": "admin"}).status_code == 422
    assert admin.post(owner, {"role": "member"}).status_code == 409  # the last owner


def test_a_refused_invitation_keeps_what_was_typed(sqlite_world: World) -> None:
    """An organization that is not there, no address, a role of others, somebody who is here already."""
    admin = sqlite_world.visit("admin")
    good = {"organization": "example-lab", "email": "new@example-lab.example", "role": "auditor"}
    for fault, status in (
        ({"organization": "nobody"}, 422), ({"email": "nowhere"}, 422), ({"role": "owner"}, 422),
        ({"email": "ben@example-lab.example"}, 409), ({"role": "root"}, 422),
    ):  # fmt: skip
        answer = admin.post("/admin/people/invite", good | fault)
        assert answer.status_code == status, fault
        assert str((good | fault)["email"]) in answer.text
    assert admin.post("/admin/people/invite", good).headers["Location"] == "/admin/people"
    assert "new@example-lab.example" in words(admin.get("/admin/people"))


def test_only_admins_manage_people(sqlite_world: World) -> None:
    """Partners do so on their own page; staff may look somebody up; unknown ones are not found."""
    world = sqlite_world
    owner = f"/admin/people/{key(world, 'cleared')}"
    assert world.visit("auditor").get(owner).status_code == 200
    assert "Change role" not in words(world.visit("auditor").get(owner))
    for name in ("auditor", "cleared"):
        for act in ("disable", "enable", "role"):
            assert world.visit(name).post(f"{owner}/{act}").status_code == 403
        assert world.visit(name).get("/admin/people").status_code == 403
    assert world.visit("admin").get("/admin/people/999").status_code == 404
    assert world.visit("admin").post("/admin/people/999/disable").status_code == 404
