"""Machines of a real OpenID Connect provider: its signed JWTs are exchanged, and open S3 keys, by our rules alone."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from server.domain.identity import trust_records
from server.domain.identity.trust_records import Terms
from server.domain.permissions import Scope
from server.storage import issuer_keys
from server.workload_issuers import WorkloadIssuer
from tests import s3
from tests.oidc_provider import AUDIENCE, MACHINE, OTHER, OidcProvider, Passed
from tests.web.api.test_token_exchange import TYPE, ask
from tests.web.s3.test_sts import STAGE, assume, inside
from tests.world import World


@pytest.fixture
def provider(world: World, oidc_provider: OidcProvider) -> Iterator[OidcProvider]:
    """The world trusts its machine for the cleared partner."""
    s3.open_door(world, workload_issuers=(WorkloadIssuer(url=oidc_provider.issuer),))
    world.use.__dict__.pop("issuer_keys", None)
    trusting(world, oidc_provider, MACHINE)
    yield oidc_provider
    world.use.__dict__.pop("issuer_keys", None)


def trusting(world: World, provider: OidcProvider, subject: str, audience: str = AUDIENCE) -> int:
    terms = Terms(
        "runner", provider.issuer, audience, {"sub": subject}, {Scope.DOWNLOADS_CREATE},
        world.clock() + timedelta(days=1),
    )  # fmt: skip
    return trust_records.create(world.use, world.person("cleared"), terms)


def test_a_program_downloads_with_what_its_provider_signed(world: World, provider: OidcProvider) -> None:
    """By client credentials; the run that the provider names is in the entry."""
    status, made = ask(world, provider.machine_token())
    assert (status, made["scope"]) == (200, "downloads:create")
    assert world.api("POST", "/downloads", made["access_token"], json={"stage": STAGE}).status_code == 201
    machine = world.records("download")[-1]["actor"]["workload"]
    assert machine["subject"] == MACHINE
    assert machine["run"].startswith("run_id ")


def test_an_id_token_is_as_good(world: World, provider: OidcProvider) -> None:
    """Of RS256 or ES256: who a person is to another client, if an owner trusts exactly that."""
    text = provider.id_token("ada")
    kind = f"{TYPE}id_token"
    assert ask(world, text, subject_token_type=kind)[1]["error"] == "invalid_grant"
    trusting(world, provider, "ada", OTHER)
    assert ask(world, text, subject_token_type=kind)[0] == 200
    assert ask(world, provider.id_token("bo"), subject_token_type=kind)[1]["error"] == "invalid_grant"


def test_its_token_gives_s3_keys(world: World, provider: OidcProvider) -> None:
    """Again and again for the same session, and for no exchange."""
    text = provider.machine_token()
    keys = {inside(assume(world, text), "AccessKeyId") for _ in range(3)}
    assert len(keys) == 3
    assert all(key.startswith("WGS") for key in keys)
    assert len(world.records("token.exchange")) == 1
    assert ask(world, text)[1]["error"] == "invalid_grant"


def test_what_it_signs_for_another_audience_opens_nothing(world: World, provider: OidcProvider) -> None:
    """Nor for another program."""
    for text in (provider.machine_token("https://other.example.org"), provider.id_token("cy")):
        assert ask(world, text)[1]["error"] == "invalid_grant"
        assert inside(assume(world, text), "Code") == "AccessDenied"
    assert world.records("token.exchange") == []


def test_while_it_is_away_nothing_is_believed(world: World, provider: OidcProvider) -> None:
    """Not reachable, or with new keys that were not fetched yet; ten seconds after it is back all is well."""
    text = provider.machine_token()

    def away(_: Passed) -> None:
        raise ConnectionError

    provider.relay.meddle = away
    assert ask(world, text)[0] == 503
    assert inside(assume(world, text), "Code") == "IDPCommunicationError"
    provider.relay.meddle = lambda _: None
    assert ask(world, text)[0] == 503  # it is not asked again at once
    later = world.use.issuer_keys._clock() + issuer_keys.TRIED_AGAIN_AFTER_SECONDS
    world.use.issuer_keys._clock = lambda: later
    assert ask(world, text)[0] == 200
