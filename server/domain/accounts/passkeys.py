"""Passkeys: the WebAuthn ceremonies. Whoever answers one has a device of the person, and its PIN, face or finger."""

from urllib.parse import urlsplit

import webauthn
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from webauthn.helpers import options_to_json, parse_authentication_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from server.domain.accounts import ceremonies, factors
from server.domain.accounts.ceremonies import Ceremony, Kind
from server.domain.accounts.factors import PASSKEYS_AT_MOST, Passkey
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotPossible
from server.domain.identity.people import Person
from server.domain.permissions import Permission
from server.domain.resources import Resources

# What the library ends with over JSON and CBOR that no browser writes; the depth of nesting included.
_UNREADABLE = (WebAuthnException, ValueError, LookupError, TypeError, AttributeError, RecursionError)
_ALWAYS = UserVerificationRequirement.REQUIRED  # the library's default would take a device without its PIN


def ask(use: Resources, person_id: int | None) -> tuple[str, str]:
    """Begin a proof by passkey; returns the ceremony's secret, and what the browser is to answer, as JSON.

    person_id: whose passkey is wanted; None: whose it is will be seen by it.
    """
    with use.database.reading() as session:
        known = factors.passkeys(session, person_id) if person_id is not None else []
    options = webauthn.generate_authentication_options(
        rp_id=_host(use),
        allow_credentials=[PublicKeyCredentialDescriptor(id=passkey.credential_id) for passkey in known],
        user_verification=_ALWAYS,
    )
    return ceremonies.begin(use, Kind.PASSKEY, person_id, options.challenge), options_to_json(options)


def accept(session: Session, use: Resources, begun: Ceremony, answer: str) -> Person:
    """Return whose passkey gave this answer, and use the ceremony up. Raises InvalidRequest and NotPossible."""
    at = use.clock()
    ceremonies.finish(session, begun, at)
    try:
        given = parse_authentication_credential_json(answer)
        passkey = session.scalar(select(Passkey).where(Passkey.credential_id == given.raw_id).with_for_update())
        if passkey is None or begun.person_id not in {None, passkey.person_id}:
            raise _not_accepted()
        proven = webauthn.verify_authentication_response(
            credential=given,
            expected_challenge=begun.challenge or b"",
            expected_rp_id=_host(use),
            expected_origin=use.settings.public_url,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    except _UNREADABLE:
        raise _not_accepted() from None
    session.execute(
        update(Passkey).where(Passkey.id == passkey.id).values(sign_count=proven.new_sign_count, used_at=at)
    )
    return session.get_one(Person, passkey.person_id)


def ask_new(use: Resources, caller: Caller) -> tuple[str, str]:
    """Begin to add a passkey; returns the ceremony's secret, and what the browser is to make, as JSON."""
    caller.require(Permission.ACCOUNT_MANAGE)
    with use.database.reading() as session:
        known = factors.passkeys(session, caller.person_id)
    options = webauthn.generate_registration_options(
        rp_id=_host(use),
        rp_name=factors.ISSUER,
        user_id=str(caller.person_id).encode(),
        user_name=caller.person or "",
        user_display_name=caller.name or caller.person or "",
        exclude_credentials=[PublicKeyCredentialDescriptor(id=passkey.credential_id) for passkey in known],
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_ALWAYS
        ),
    )
    return ceremonies.begin(use, Kind.PASSKEY_ADD, caller.person_id, options.challenge), options_to_json(options)


def add(use: Resources, caller: Caller, ceremony: str | None, answer: str, name: str) -> None:
    """Keep a new passkey. Every other session of the person ends. Raises InvalidRequest and NotPossible."""
    caller.require(Permission.ACCOUNT_MANAGE)
    name = factors.passkey_name(name)
    with use.database.transaction() as session:
        begun = ceremonies.running(session, use, ceremony, Kind.PASSKEY_ADD)
        at = use.clock()
        ceremonies.finish(session, begun, at)
        if begun.person_id != caller.person_id:
            raise _not_accepted()
        try:
            made = webauthn.verify_registration_response(
                credential=answer,
                expected_challenge=begun.challenge or b"",
                expected_rp_id=_host(use),
                expected_origin=use.settings.public_url,
                require_user_verification=True,
            )
        except _UNREADABLE:
            raise _not_accepted() from None
        person = session.get_one(Person, caller.person_id, with_for_update=True)
        if session.scalar(select(Passkey.id).where(Passkey.credential_id == made.credential_id)):
            raise NotPossible("This passkey is already registered.")
        if len(factors.passkeys(session, person.id)) >= PASSKEYS_AT_MOST:
            raise NotPossible(f"You can have at most {PASSKEYS_AT_MOST} passkeys. Remove one first.")
        passkey = Passkey(
            person_id=person.id, credential_id=made.credential_id, public_key=made.credential_public_key,
            sign_count=made.sign_count, name=name, added_at=at,
        )  # fmt: skip
        session.add(passkey)
        factors.changed(
            session, use, caller, person, EntryKind.PERSON_FACTOR_ADD, "A passkey was added to your account", at,
            factor="passkey", name=name,
        )  # fmt: skip


def _host(use: Resources) -> str:
    """The name that passkeys are bound to: a page of any other host gets no answer."""
    return urlsplit(use.settings.public_url).hostname or ""


def _not_accepted() -> InvalidRequest:
    return InvalidRequest("The passkey was not accepted.", next_step="Try again, or use a code from your app.")
