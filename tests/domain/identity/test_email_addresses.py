"""Email addresses: one person has one, however it is written; what only looks like one is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from server.domain.accounts import invitations, password_resets
from server.domain.errors import InvalidRequest, NotPossible
from server.domain.identity import email_addresses, people
from server.domain.identity.people import Person
from server.domain.mail.mails import Mail
from server.domain.permissions import Role
from tests.world import World

KIM, KIM_TYPED = "kim@xn--mnchen-3ya.example", "kim@m\u00fcnchen.example"
PASSWORD = "a long enough password"
SAME = {
    "capitals": "KIM@M\u00dcNCHEN.EXAMPLE",
    "spaces around": f"  {KIM_TYPED}\n",
    "as mail servers write it": KIM,
    "two marks for one letter": "kim@mu\u0308nchen.example",
    "a Kelvin sign": KIM_TYPED.replace("k", "\u212a"),
    "an ideographic full stop": KIM_TYPED.replace(".", "\u3002"),
}
NONE = [
    "", "@", "x@", "@x.example", "plain", "a@b", "a@127.0.0.1", "a@[127.0.0.1]", "<a@b.example>", "A <a@b.example>",
    "a@b.example,c@d.example", "a@b.example; c@d.example", "a@b.example c@d.example", "a@b@c.example", "a@b.example.",
    ".a@b.example", "a..b@c.example", "a@b..example", "a@-b.example", '"a b"@c.example', "a b@c.example",
    "a@b_c.example",
    "a\u200b@b.example", "a@b\u200b.example", "a@b.example\0", "a@b.example\r\nBcc: c@d.example",
    "=1+1@b.example", "+1@b.example", "-o@b.example", "@SUM(A1)@b.example", "=cmd|' /C calc'!A0@b.example",
    "\u0430nna@b.example", "a@xn--zzzzzz.example", "a" * 65 + "@b.example", "a@" + "b." * 130 + "example",
]  # fmt: skip


@pytest.mark.parametrize("typed", SAME.values(), ids=SAME)
def test_every_spelling_is_kept_as_one(typed: str) -> None:
    """In small letters, and the domain as mail servers write it; shown with what it looks like."""
    assert email_addresses.stored(typed) == email_addresses.folded(typed) == KIM
    assert email_addresses.shown(KIM) == f"{KIM} ({KIM_TYPED})"
    assert email_addresses.spellings(typed) >= {KIM, KIM_TYPED}


def test_a_look_alike_does_not_pass_for_another() -> None:
    """A Cyrillic letter in a domain is seen, and a plain address is shown as it is."""
    fake = email_addresses.stored("ben@\u0430urora.example")
    assert (fake.startswith("ben@xn--"), fake) == (True, email_addresses.stored(fake))
    assert email_addresses.shown("ben@aurora.example") == "ben@aurora.example"


@pytest.mark.parametrize("typed", NONE)
def test_what_is_no_address_is_refused_with_a_reason(typed: str) -> None:
    """No list, no name, no formula, no option of a command, and nothing that cannot be seen."""
    with pytest.raises(InvalidRequest, match="is not a valid email address") as refused:
        email_addresses.stored(typed)
    assert refused.value.detail.isprintable()
    assert len(refused.value.detail) < 600


@given(st.text(max_size=60) | st.from_regex(r"[a-z.+=-]{1,8}@[a-z0-9.-]{1,12}\.[a-z]{2,6}", fullmatch=True))
def test_what_is_kept_is_kept_as_it_is(typed: str) -> None:
    """Whatever was typed: once in the form that is kept, it stays in it, and is plain ASCII."""
    try:
        kept = email_addresses.stored(typed)
    except InvalidRequest:
        return
    assert kept == email_addresses.stored(kept)
    assert kept.isascii()
    assert kept in email_addresses.spellings(typed)


def test_one_person_at_every_door(world: World) -> None:
    """Added in one spelling, somebody signs in, is invited, resets and is managed in each, and is one person."""
    people.add(world.use, world.admin, "aurora-institute", KIM_TYPED, "Kim", Role.MEMBER, PASSWORD)
    for typed in SAME.values():
        assert people.prove(world.use, typed, PASSWORD).email == KIM
        with pytest.raises(NotPossible, match=f"{KIM} already belongs to Kim, member of aurora-institute"):
            people.add(world.use, world.admin, "birch-university", typed, "Kim", Role.MEMBER, PASSWORD)
        with pytest.raises(NotPossible, match=f"{KIM} already belongs to Kim"):
            invitations.invite(world.use, world.admin, "aurora-institute", typed, Role.MEMBER)
        password_resets.ask(world.use, typed)
    with pytest.raises(NotPossible, match=f"{KIM} already has an account"):  # its place is not for everyone to know
        people.add(world.use, world.person("unsigned"), "birch-university", KIM, "Kim", Role.MEMBER, PASSWORD)
    with world.use.database.reading() as session:
        asked = session.scalars(select(Mail.recipient).where(Mail.kind == "password_reset")).all()
    assert list(asked) == [KIM] * len(SAME)
    people.disable(world.use, world.admin, KIM_TYPED)
    with pytest.raises(NotPossible, match="whose account is disabled") as refused:
        people.add(world.use, world.admin, "aurora-institute", KIM, "Kim", Role.MEMBER, PASSWORD)
    assert refused.value.next_step == "Enable that account instead."


def test_a_person_of_before_is_still_known(sqlite_world: World) -> None:
    """An earlier version kept what was typed: they sign in as ever, and nobody is added beside them."""
    world = sqlite_world
    world.tampered = True  # the log knows no such change
    email = world.example.people["unsigned"]["email"]
    with world.use.database.transaction() as session:
        session.scalars(select(Person).where(Person.email == email)).one().email = KIM_TYPED
    for typed in (KIM_TYPED, KIM, SAME["capitals"]):
        assert people.prove(world.use, typed, world.example.people["unsigned"]["password"]).email == KIM_TYPED
        with pytest.raises(NotPossible):
            people.add(world.use, world.admin, "birch-university", typed, "Kim", Role.MEMBER, PASSWORD)
