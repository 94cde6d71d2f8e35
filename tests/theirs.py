"""A partner of whom there is one of everything, so that every address can name something of theirs."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from server.domain.access import access_requests, clearances
from server.domain.access.signatures import Signature
from server.domain.accounts import granting, invitations
from server.domain.accounts.factors import Passkey
from server.domain.delivery import alarms
from server.domain.delivery.alarms import Alarm, AlarmKind, Suspicion
from server.domain.downloads import issuing
from server.domain.identity import device_logins, people, tokens
from server.domain.identity.linked_identities import LinkedIdentity
from server.domain.identity.sessions import SignIn
from server.domain.paging import Slice
from server.domain.permissions import Role, Scope
from server.log.entries import Log
from tests.attached import attached
from tests.filled_forms import quota_waits
from tests.findings import report
from tests.identity_providers import link_once
from tests.issuer import NEVER_ASKED, trust_nobody, trusting
from tests.prepared_worlds import PreparedWorlds
from tests.visits import Visit, visit
from tests.world import STRANGER, World


@pytest.fixture(scope="module")
def having_everything(prepared_worlds: PreparedWorlds) -> PreparedWorlds:
    """Twenty acts, done once a module and database."""
    prepared_worlds.act = theirs_of
    return prepared_worlds


@pytest.fixture
def their_world(request: pytest.FixtureRequest, tmp_path: Path, having_everything: PreparedWorlds) -> Iterator[World]:
    """A world in which the cleared partner has one of everything: on SQLite, or on the database that the test names."""
    for world in having_everything.copied(request, tmp_path, getattr(request, "param", "sqlite")):
        trust_nobody(world)
        yield world


@pytest.fixture
def theirs(their_world: World, having_everything: PreparedWorlds) -> dict[str, Any]:
    """The cleared partner's things, by the names that addresses give them."""
    known: dict[str, Any] = having_everything.made[their_world.kind]
    return known


def theirs_of(world: World) -> dict[str, Any]:
    """One of everything that belongs to the cleared partner, by the name that addresses give it."""
    owner = world.person("cleared")
    issued = issuing.issue(world.use, world.caller("cleared"), world.order())
    people.add(world.use, owner, "aurora-institute", "member@aurora-institute.example", "A Member", Role.MEMBER)
    made = tokens.create(world.use, owner, "a token", [Scope.STAGES_READ], timedelta(days=1))
    at = world.use.clock()
    asked = access_requests.create(
        world.use, owner, "mini-gpt", "partner", purpose="A study.", wanted_until=at + timedelta(days=30)
    )
    found, proposed = report(world), quota_waits(world, "cedar-systems")["proposal_id"]
    invited = invitations.invite(world.use, owner, "aurora-institute", "new@aurora-institute.example", Role.MEMBER)
    trust_nobody(world)
    trusted = trusting(world, NEVER_ASKED)
    link_once(world, "cleared", "1")
    world.visit("cleared")  # a session of theirs
    world.seal()
    with world.use.database.transaction() as session:
        session.add(
            Passkey(
                person_id=owner.person_id, credential_id=b"1", public_key=b"2", sign_count=0, name="Key", added_at=at
            )
        )
        suspicion = Suspicion(
            AlarmKind.FOREIGN_ADDRESS, ("a",), "From elsewhere.", 0, "k", "192.0.2.1", download_id=issued.id,
            organization_id=owner.organization_id, organization=owner.organization,
        )  # fmt: skip
        alarms.raise_new(session, [suspicion], at)
    with world.use.database.reading() as session:
        member = people.visible(session, owner, Slice(9)).items[-1]
        mine = clearances.visible(session, owner, Slice(1)).items[0]
        return {
            "download_id": issued.id,
            "public_id": made.token.public_id,
            "request_id": asked.id,
            "finding_id": found,
            "attachment_id": attached(world, found).id,
            "invitation_id": invited.id,
            "person_id": member.id,
            "proposal_id": proposed,
            "clearance_id": mine.id,
            "decision_id": 1,
            "user_code": device_logins.begin(world.use, STRANGER, "a program", {Scope.STAGES_READ}).user_code,
            "to": "public",
            "signature_id": session.scalar(select(Signature.id)),
            "upload_id": 1,
            "trust_record_id": trusted,
            "alarm_id": session.scalar(select(Alarm.id)),
            "passkey_id": session.scalar(select(Passkey.id)),
            "identity_id": session.scalar(select(LinkedIdentity.id)),
            "provider": "lab",
            "session_id": session.scalar(select(SignIn.id).where(SignIn.person_id == owner.person_id)),
            "entry_id": world.entries("download")[-1].id,
            "place": world.entries("download")[-1].leaf_index,
            "checkpoint_id": issued.entry and world.records("download")[-1]["checkpoint"],
            "checkpoint": "main",
            "revision": "main",
            "reference": "main",
            "digest": f"sha256:{issued.files[0].sha256}",
            "path": "vocab.bpe",
            "folder": "encoder",
            "name": "model-sharing",
            "number": 1,
            "slug": "aurora-institute",
            "model": "gpt-2",
            "stage": "774M",
            "log_name": session.scalar(select(Log.name)),
        }


def at_the_door(world: World, name: str) -> Visit:
    email, own = f"{name}@cedar-systems.example", "their own password"
    if name == "member":
        people.add(world.use, world.person("uncleared"), "cedar-systems", email, "C Member", Role.MEMBER, own)
        return visit(world.client.application, world.use, email)
    if name == "pending":
        granting.add(world.use, world.admin, "example-lab", email, "P Waiting", Role.ADMIN, own)
        return visit(world.client.application, world.use, email)
    return world.visit(None if name == "nobody" else name)


def acts(world: World) -> int:
    return len([entry for entry in world.entries() if entry.kind not in {"seal", "heartbeat"}])
