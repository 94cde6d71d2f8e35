"""Portals whose people sign in with the tests' identity provider: its settings, links, and the way there and back."""

from typing import Any
from urllib.parse import urlsplit

from werkzeug.test import TestResponse

from server.domain.accounts import identity_links
from server.domain.accounts.provider_ceremonies import Back, Purpose
from server.identity_providers import IdentityProvider
from server.storage import keys
from server.storage.provider_answers import Proof
from tests.oidc_provider import CONFIDENTIAL, SECRET, OidcProvider
from tests.visits import Visit
from tests.world import World

LAB, AURORA = "example-lab", "aurora-institute"
NAME = "Example SSO"


def settings_of(world: World, provider: OidcProvider, **more: Any) -> dict[str, Any]:
    """What the settings say of the provider; its second factor is trusted where it says `mfa`."""
    secret_file = world.folder / "oidc-secret"
    if not secret_file.exists():
        keys.write_private(secret_file, SECRET.encode())
    return {
        "id": "lab", "name": NAME, "issuer": provider.issuer, "client_id": CONFIDENTIAL,
        "client_secret_file": secret_file, "organizations": (LAB, AURORA), "second_factor_amr": ("mfa",), **more,
    }  # fmt: skip


def use_provider(world: World, provider: OidcProvider, **more: Any) -> IdentityProvider:
    """Let the world's people sign in with it."""
    known = IdentityProvider.model_validate(settings_of(world, provider, **more))
    world.use.settings = world.use.settings.model_copy(update={"identity_providers": (known,)})
    world.use.__dict__.pop("identity_providers", None)
    return known


def link_once(world: World, name: str, login: str) -> None:
    """Link an identity of a provider that the settings do not name any more."""
    before = world.use.settings
    known = IdentityProvider(
        id="old", name="Old SSO", issuer="https://old.example", client_id="x", organizations=(LAB, AURORA)
    )
    world.use.settings = before.model_copy(update={"identity_providers": (known,)})
    link(world, name, login)
    world.use.settings = before


def link(world: World, name: str, login: str) -> None:
    """Link an identity to a person of the demo, as they would on their account page."""
    caller, (known, *_) = world.person(name), world.use.settings.identity_providers
    proof = Proof(known.issuer, login, "", None, frozenset(), None)
    identity_links.link(world.use, caller, Back(known, Purpose.LINK, proof, world.clock(), caller.person_id, "/", ""))


def leave(visit: Visit, path: str = "/sign-in/with/lab", fields: dict[str, str] | None = None) -> str:
    """Press a button that leads to the provider; returns the address there."""
    page = visit.post(path, fields)
    assert page.status_code == 200, page.text
    return page.headers["Refresh"].removeprefix("0; url=")


def come_back(visit: Visit, address: str) -> TestResponse:
    """Open the address that the provider sends a browser back to."""
    parts = urlsplit(address)
    return visit.get(f"{parts.path}?{parts.query}")


def go(
    visit: Visit, provider: OidcProvider, login: str | None, path: str = "/sign-in/with/lab",
    fields: dict[str, str] | None = None, *, second_factor: bool = False,
) -> TestResponse:  # fmt: skip
    """All the way there and back."""
    return come_back(visit, provider.go_through(leave(visit, path, fields), login, second_factor=second_factor))
