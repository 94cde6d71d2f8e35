"""Refusals: every typed "no". The docstring is the sentence a person reads; `web/errors.py` knows the HTTP status."""

from typing import ClassVar


class Refused(Exception):
    """The request was refused."""

    code: ClassVar[str]
    next_step: str

    def __init__(
        self, detail: str | None = None, *, next_step: str | None = None, retry_after_seconds: int = 0
    ) -> None:
        self.detail = detail or str(type(self).__doc__)
        self.next_step = next_step or type(self).next_step
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self.detail)


class AuthenticationRequired(Refused):
    """This needs a token, and none was sent."""

    code = "authentication_required"
    next_step = "Send your token in the header `Authorization: Bearer …`."


class InvalidCredentials(Refused):
    """The token is unknown, expired or revoked."""

    code = "invalid_credentials"
    next_step = "Use a token that is still valid; your organization's owner or {contact} can make a new one."


class NetworkNotAllowed(Refused):
    """This token may not be used from your network address."""

    code = "network_not_allowed"
    next_step = "Call from a network the token was made for, or ask your organization's owner for another token."


class OrganizationSuspended(Refused):
    """Your organization is suspended. Nothing was issued."""

    code = "organization_suspended"
    next_step = "Ask {contact} why, and what would end it."


class PersonDisabled(Refused):
    """The person behind these credentials is disabled."""

    code = "person_disabled"
    next_step = "Ask your organization's owner to enable the person, or to take over the token."


class NotPermitted(Refused):
    """Your role does not include this."""

    code = "not_permitted"
    next_step = "Ask somebody whose role includes it, or {contact}."


class InsufficientScope(Refused):
    """The token was not made for this."""

    code = "insufficient_scope"
    next_step = "Use a token with the scope named above, if your role may have it."


class NotFound(Refused):
    """There is nothing here by that name."""

    code = "not_found"
    next_step = "Check the spelling; `GET /api/v1/stages` lists what you may know of."


class NotSealedYet(Refused):
    """The entry is written, but not sealed into the log yet."""

    code = "not_sealed_yet"
    next_step = "Ask again in a second; a receipt promises it within a minute."

    def __init__(self) -> None:
        super().__init__(retry_after_seconds=1)


class StageHeld(Refused):
    """A hold lies on this stage: nobody may download it for now."""

    code = "stage_held"
    next_step = "Wait until the hold is lifted; {contact} can say more."


class StageWithdrawn(Refused):
    """This stage was withdrawn for good."""

    code = "stage_withdrawn"
    next_step = "Use another stage; {contact} can say why it was withdrawn."


class NotCleared(Refused):
    """Your organization is not cleared for this stage. Nothing was downloaded."""

    code = "not_cleared"
    next_step = "Ask {contact} for a clearance of the tier that the stage requires."


class ClearanceExpired(Refused):
    """Your organization's clearance for this stage has ended. Nothing was downloaded."""

    code = "clearance_expired"
    next_step = "Ask {contact} to renew the clearance."


class AgreementUnsigned(Refused):
    """Your organization has not signed the agreement that this stage requires."""

    code = "agreement_unsigned"
    next_step = "Have your signing officer sign it, and {contact} record the signature."


class AgreementOutdated(Refused):
    """The agreement that your organization signed was replaced by a new version."""

    code = "agreement_outdated"
    next_step = "Have your signing officer sign the new version, and {contact} record the signature."


class QuotaExceeded(Refused):
    """This would take your organization over its byte quota for the rolling day."""

    code = "quota_exceeded"
    next_step = "Wait as long as Retry-After says, ask for fewer files, or ask {contact} for a larger quota."


class RateLimited(Refused):
    """Your organization asks for downloads faster than its request rate allows."""

    code = "rate_limited"
    next_step = "Wait as long as Retry-After says; ask for many files in one request."


class TooManyAttempts(Refused):
    """There were too many attempts from here, or for this account. Nothing was looked at."""

    code = "too_many_attempts"
    next_step = "Wait as long as Retry-After says; if it was not you who tried, tell {contact}."


class InvalidRequest(Refused):
    """The request is not well formed."""

    code = "invalid_request"
    next_step = "Correct what is named above; /api/v1/openapi.json describes every request."


class NotPossible(Refused):
    """What was asked contradicts what is there."""

    code = "not_possible"
    next_step = "Look at the present state first, then ask for what is still missing."


def taken_meanwhile() -> NotPossible:
    """For what nobody had done yet when it was looked at, and somebody had when it was to be stored."""
    return NotPossible("Somebody else did the same at the same moment.")


class LogUnavailable(Refused):
    """The log could not record this, so nothing was issued."""

    code = "log_unavailable"
    next_step = "Try again in a few seconds; if it goes on, tell {contact}."
