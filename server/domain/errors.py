"""Refusals: every typed "no". The docstring is the sentence a person reads; `web/errors.py` knows the HTTP status."""

from typing import ClassVar


class Refused(Exception):
    """The request was refused."""

    code: ClassVar[str]
    next_step: str
    stage: str | None = None  # the one that was refused, by its full name; of a stage that is not there for them, none

    def __init__(
        self, detail: str | None = None, *, next_step: str | None = None, retry_after_seconds: int = 0
    ) -> None:
        self.detail = detail or str(type(self).__doc__)
        self.next_step = next_step or type(self).next_step
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self.detail)


class AuthenticationRequired(Refused):
    """This request needs a token."""

    code = "authentication_required"
    next_step = "Send your token in the `Authorization: Bearer …` header."


class InvalidCredentials(Refused):
    """The token is unknown, expired or revoked."""

    code = "invalid_credentials"
    next_step = "Create a new token in the portal, or ask an owner of your organization or {contact} for one."


class IdentityTokenRefused(Refused):
    """This identity token opens nothing here."""

    code = "identity_token_refused"
    next_step = "Send an identity token that was issued just now, for the audience that the trust record names."


class IdentityTokenExpired(IdentityTokenRefused):
    """This identity token has expired."""


class NotTrusted(IdentityTokenRefused):
    """No trust record matches this identity token."""

    next_step = "Compare its issuer, audience and claims with the trust record. An owner sees it in the portal."


class IssuerUnavailable(Refused):
    """The keys of this issuer cannot be fetched now, so no identity token of it is accepted."""

    code = "issuer_unavailable"
    next_step = "Try again in a few seconds. If this keeps happening, contact {contact}."


class NetworkNotAllowed(Refused):
    """This token cannot be used from your network address."""

    code = "network_not_allowed"
    next_step = "Connect from a network that the token allows, or ask an owner of your organization for another token."


class OrganizationSuspended(Refused):
    """Your organization is suspended. Nothing was issued."""

    code = "organization_suspended"
    next_step = "Contact {contact} to find out why, and how to end the suspension."


class PersonDisabled(Refused):
    """The account behind these credentials is disabled."""

    code = "person_disabled"
    next_step = "Ask an owner of your organization to enable the account or take over the token."


class NotPermitted(Refused):
    """Your role does not allow this."""

    code = "not_permitted"
    next_step = "Ask someone whose role allows it, or contact {contact}."


class InsufficientScope(Refused):
    """This token does not have the required scope."""

    code = "insufficient_scope"
    next_step = "Use a token with the scope named above, if your role allows it."


class IdentityNotAccepted(Refused):
    """This identity does not sign you in here. Nothing was changed."""

    code = "identity_not_accepted"
    next_step = "Start again from the sign-in page. If this keeps happening, contact {contact}."


class IdentityProviderUnavailable(Refused):
    """The identity provider does not respond. Nothing was changed."""

    code = "identity_provider_unavailable"
    next_step = "Try again in a minute, or sign in another way. If this keeps happening, contact {contact}."


class NotFound(Refused):
    """There is nothing with that name here."""

    code = "not_found"
    next_step = "Check the spelling. `GET /api/v1/stages` lists the stages you can see."


class NoSuchCheckpoint(NotFound):
    """This stage has no such checkpoint."""

    next_step = "List its checkpoints, or use `main`."


class NoSuchFile(NotFound):
    """A file that was asked for is not in this checkpoint."""

    def __init__(self, detail: str, *, next_step: str, checkpoint_id: str) -> None:
        self.checkpoint_id = checkpoint_id
        super().__init__(detail, next_step=next_step)


class RecordArchived(Refused):
    """The record of this entry was archived, and is no longer kept here."""

    code = "record_archived"
    next_step = "Use the record and the salt that came with the download, or ask {contact} for them."


class NotSealedYet(Refused):
    """The entry is recorded, but not sealed into the log yet."""

    code = "not_sealed_yet"
    next_step = "Try again in a second. Entries are sealed within a minute."

    def __init__(self) -> None:
        super().__init__(retry_after_seconds=1)


class StageHeld(Refused):
    """This stage is on hold: nobody can download it for now."""

    code = "stage_held"
    next_step = "Wait until the hold is lifted, or contact {contact} for details."


class StageWithdrawn(Refused):
    """This stage has been permanently withdrawn."""

    code = "stage_withdrawn"
    next_step = "Use another stage, or contact {contact} to find out why it was withdrawn."


class NotCleared(Refused):
    """Your organization is not cleared for this stage. Nothing was downloaded."""

    code = "not_cleared"
    next_step = "Ask {contact} for a clearance at the tier that the stage requires."


class ClearanceExpired(Refused):
    """Your organization's clearance for this stage has expired or been revoked. Nothing was downloaded."""

    code = "clearance_expired"
    next_step = "Ask {contact} to renew the clearance."


class AgreementUnsigned(Refused):
    """Your organization has not signed the agreement that this stage requires."""

    code = "agreement_unsigned"
    next_step = "Ask your signing officer to sign it. {contact} then countersigns."


class AgreementOutdated(Refused):
    """The agreement that your organization signed has been replaced by a new version."""

    code = "agreement_outdated"
    next_step = "Ask your signing officer to sign the new version. {contact} then countersigns."


class QuotaExceeded(Refused):
    """This download would exceed your organization's byte quota for 24 hours."""

    code = "quota_exceeded"
    next_step = "Wait for the time in Retry-After, request fewer files, or ask {contact} for a larger quota."


class RateLimited(Refused):
    """Your organization has exceeded its rate limit for downloads."""

    code = "rate_limited"
    next_step = "Wait for the time in Retry-After, and request several files at once."


class TooManyAttempts(Refused):
    """Too many attempts from this network or for this account. Nothing was checked."""

    code = "too_many_attempts"
    next_step = "Wait for the time in Retry-After. If it was not you, contact {contact}."


class InvalidRequest(Refused):
    """The request is not valid."""

    code = "invalid_request"
    next_step = "Correct the problem named above. /api/v1/openapi.json describes every request."


class NotPossible(Refused):
    """This is not possible in the current state."""

    code = "not_possible"
    next_step = "Check the current state, then try again if something is still missing."


def taken_meanwhile() -> NotPossible:
    """For an act that was still possible when it was checked, and no longer when it was stored."""
    return NotPossible("Someone else may have done this already.")


class LogUnavailable(Refused):
    """The log could not record this, so nothing was issued."""

    code = "log_unavailable"
    next_step = "Try again in a few seconds. If this keeps happening, contact {contact}."
