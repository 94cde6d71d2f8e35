"""Every form of the portal, filled in well: who sends it, where, with what in it, and what must have been before."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from server.domain.access import access_requests, clearances, signatures
from server.domain.accounts import granting, invitations
from server.domain.decisions import lifting, proposing
from server.domain.decisions.proposing import Proposal
from server.domain.identity import device_logins, people, tokens
from server.domain.operation import carrying_out
from server.domain.permissions import Role, Scope
from server.domain.release import agreements, holds
from server.domain.release.stages import StageState
from tests.findings import report
from tests.issuer import NEVER_ASKED, trust_nobody
from tests.world import STRANGER, World

Known = dict[str, Any]
SECOND = "second@aurora-institute.example"
KEY = "k" * 32  # of a form that makes one thing, however often it is sent
NEW_TEXT = "# Model sharing\n\nWhoever signs this keeps the weights to themselves."


@dataclass(frozen=True)
class Filled:
    """A form, well filled in.

    before: makes what it needs, and returns what the address and empty fields name. entries: of the log, written by one
    sending. again: why each sending of it is an act of its own, where it is.
    """

    by: str
    fields: dict[str, str] = field(default_factory=dict)
    before: Callable[[World], Known] = lambda _: {}
    entries: int = 1
    again: str | None = None


def _proposed(world: World) -> Known:
    until = world.clock() + timedelta(days=60)
    made = clearances.propose(
        world.use, world.admin, "cedar-systems", "mini-gpt", "research", expires_at=until, purpose="A pilot."
    )
    return {"clearance_id": made.id}


def _decided(world: World) -> Known:
    proposal = Proposal(StageState.PUBLIC, "Nothing was found.", "A finding.", "Nothing was found.")
    return {"decision_id": proposing.propose(world.use, world.admin, "gpt-2/774M", proposal).id}


def sign(world: World) -> int:
    """Sign as the owner of the partner that has not; the lab has not countersigned. Returns the signature's id."""
    with world.use.database.reading() as session:
        _, version = agreements.find_version(session, "model-sharing")
    signed = signatures.sign(
        world.use, world.person("unsigned"), "model-sharing", version.sha256, signer_name="Una Signer",
        signer_title="Dean", statement="I sign for Birch University",
    )  # fmt: skip
    return signed.id


def _waiting(world: World) -> Known:
    return {"signature_id": sign(world)}


def _text(world: World) -> Known:
    with world.use.database.reading() as session:
        return {"version_sha256": agreements.find_version(session, "model-sharing")[1].sha256}


def _asked(world: World) -> Known:
    until = world.clock() + timedelta(days=60)
    made = access_requests.create(
        world.use, world.person("uncleared"), "gpt-2", "research", purpose="A study.", wanted_until=until
    )
    return {"request_id": made.id}


def quota_waits(world: World, slug: str = "birch-university") -> Known:
    """A quota that would be lifted, if another admin approved it."""
    for limit in (1, None):
        waits = carrying_out.set_quota(world.use, world.admin, slug, bytes_per_day=limit, requests_per_minute=None)
    return {"proposal_id": waits.id if waits else 0}


def device_asks(world: World) -> Known:
    """A program that waits for somebody to approve it."""
    begun = device_logins.begin(world.use, STRANGER, "weightgate on node-7", {Scope.STAGES_READ})
    return {"user_code": begun.user_code}


def _role_waits(world: World) -> Known:
    granting.propose(world.use, world.admin, str(world.person("publisher").person), Role.AUDITOR)
    return {"person_id": world.person("publisher").person_id}


def _found(world: World) -> Known:
    return {"finding_id": report(world, stage="gpt-2/124M", may_publish=True)}


def _held(world: World) -> Known:
    holds.place(world.use, world.admin, "mini-gpt/base", "A finding.")
    return {}


def _lift_proposed(world: World) -> Known:
    known = _held(world)
    lifting.propose(world.use, world.admin, "mini-gpt/base", "Not reproduced.")
    return known


def _invited(world: World) -> Known:
    address = "more@aurora-institute.example"
    made = invitations.invite(world.use, world.person("cleared"), "aurora-institute", address, Role.MEMBER)
    return {"invitation_id": made.id}


def _member(world: World) -> Known:
    people.add(world.use, world.person("cleared"), "aurora-institute", SECOND, "A Second", Role.MEMBER)
    return {"person_id": world.person_of(SECOND).person_id}


def _disabled(world: World) -> Known:
    known = _member(world)
    people.disable(world.use, world.person("cleared"), SECOND)
    return known


def _known_issuer(world: World) -> Known:
    trust_nobody(world)
    return {}


def _of_a_colleague(world: World) -> Known:
    """A token that another owner of the same organization made."""
    people.add(world.use, world.person("cleared"), "aurora-institute", SECOND, "A Second", Role.OWNER)
    made = tokens.create(world.use, world.person_of(SECOND), "cluster", [Scope.STAGES_READ], timedelta(days=1))
    return {"public_id": made.token.public_id}


NEW_PERSON = {"email": "n@example.org", "role": "member"}
FORMS: dict[str, Filled] = {
    "/account/identities/<int:identity_id>/unlink": Filled("cleared"),
    "/account/passkeys/<int:passkey_id>/name": Filled("cleared", {"name": "old laptop"}),
    "/account/passkeys/<int:passkey_id>/remove": Filled("cleared"),
    "/account/recovery-codes": Filled("cleared", {"newest": "0"}),
    "/account/sessions/<int:session_id>/end": Filled("cleared", entries=0),
    "/account/sessions/end-others": Filled("cleared", entries=0),
    "/account/totp/begin": Filled("cleared", entries=0, again="each begins anew"),
    "/admin/add-organization": Filled("admin", {"name": "Dover Lab", "slug": "dover-lab"}),
    "/admin/clearances/<int:clearance_id>/approve": Filled("admin2", before=_proposed),
    "/admin/clearances/<int:clearance_id>/extend": Filled("admin", {"last_day": "2031-01-31"}),
    "/admin/clearances/<int:clearance_id>/revoke": Filled(
        "admin", {"because": "The study has ended.", "confirmation": "aurora-institute"}
    ),
    "/admin/clearances/propose": Filled(
        "admin", {"organization": "cedar-systems", "model": "mini-gpt", "tier": "partner", "last_day": "2031-01-31",
                  "purpose": "A study."},
    ),
    "/admin/decisions/<int:decision_id>/approve": Filled("admin2", before=_decided, entries=2),
    "/admin/decisions/<int:decision_id>/cancel": Filled("admin", {"because": "Not now."}, _decided),
    "/admin/decisions/<int:decision_id>/reject": Filled("admin2", {"because": "Too early."}, _decided),
    "/admin/findings/<int:finding_id>/answer": Filled("admin", {"words": "Thank *you*."}, _found),
    "/admin/findings/<int:finding_id>/release": Filled("admin", {"to": "cedar-systems"}, _found),
    "/admin/findings/<int:finding_id>/triage": Filled(
        "admin", {"severity": "high", "answer": "Thanks.", "act": "confirmed"}, _found, entries=2
    ),
    "/admin/holds/place": Filled("admin", {"on": "mini-gpt/base", "reason": "A finding."}),
    "/admin/holds/cut": Filled("admin", {"on": "mini-gpt/base"}, _held, entries=0),
    "/admin/holds/propose-lift": Filled("admin", {"on": "mini-gpt/base", "reason": "Not reproduced."}, _held),
    "/admin/holds/approve-lift": Filled("admin2", {"on": "mini-gpt/base"}, _lift_proposed, entries=2),
    "/admin/organizations/<slug>/networks": Filled("admin", {"networks": "192.0.2.0/24"}),
    "/admin/organizations/<slug>/quota": Filled("admin", {"bytes_per_day": "5 TB", "requests_per_minute": "100"}),
    "/admin/organizations/<slug>/rename": Filled("admin", {"name": "Aurora University"}),
    "/admin/people/<int:person_id>/disable": Filled("admin", before=_member),
    "/admin/people/<int:person_id>/enable": Filled("admin", before=_disabled),
    "/admin/people/<int:person_id>/role": Filled("admin", {"role": "owner"}, _member),
    "/admin/people/<int:person_id>/role/approve": Filled("admin2", before=_role_waits),
    "/admin/people/<int:person_id>/role/reject": Filled("admin2", before=_role_waits),
    "/admin/people/invitations/<int:invitation_id>/resend": Filled(
        "admin", {"organization": "aurora-institute"}, _invited, entries=2
    ),
    "/admin/people/invitations/<int:invitation_id>/withdraw": Filled(
        "admin", {"organization": "aurora-institute"}, _invited
    ),
    "/admin/proposals/<int:proposal_id>/approve": Filled("admin2", before=quota_waits, entries=2),
    "/admin/proposals/<int:proposal_id>/reject": Filled("admin2", before=quota_waits),
    "/admin/people/invite": Filled("admin", {"organization": "aurora-institute", **NEW_PERSON}),
    "/admin/publish-agreement": Filled("admin", {"name": "model-sharing", "text": NEW_TEXT, "act": "publish"}),
    "/admin/requests/<int:request_id>/approve": Filled("admin", {"last_day": "2027-01-31"}, _asked, entries=2),
    "/admin/requests/<int:request_id>/decline": Filled("admin", {"because": "Too early."}, _asked),
    "/admin/signatures/<int:signature_id>/countersign": Filled("admin", before=_waiting),
    "/admin/signatures/<int:signature_id>/decline": Filled("admin", {"because": "Not an officer."}, _waiting),
    "/admin/signatures/<int:signature_id>/end": Filled("admin"),
    "/admin/signatures/record": Filled(
        "admin", {"organization": "cedar-systems", "agreement": "model-sharing", "signer_name": "Cy Signer",
                  "signer_title": "Dean", "signed_on": "2026-01-31", "document_sha256": "ab" * 32,
                  "before_publication": "y"},
    ),
    "/admin/stages/<model>/<stage>/alias": Filled("admin", {"alias": "large"}),
    "/admin/stages/<model>/<stage>/move/<to>": Filled(
        "admin", {"public_reason": "Nothing was found.", "rationale": "Months of study.", "would_change": "A finding.",
                  "confirmation": "gpt-2/774M"},
        lambda _: {"to": "public"},
    ),
    "/admin/stages/<model>/<stage>/move/remind": Filled(
        "admin", {"organization": "birch-university"}, entries=0),
    "/admin/stages/<model>/<stage>/edit": Filled(
        "admin", {"announced": "y", "planned_from": "2031-11", "planned_until": "2032-01", "note": "In spring.",
                  "reports_at_least": "2"},
    ),
    "/admin/stages/add": Filled(
        "admin", {"model": "gpt-2", "name": "3B", "tier": "partner", "agreement": "model-sharing", "ordinal": "9",
                  "parameters": "3000000000", "reports_at_least": "2"},
    ),
    "/admin/stages/add-model": Filled("admin", {"name": "gpt-3", "title": "GPT-3"}),
    "/admin/tiers": Filled("admin", {"name": "visitor", "rank": "15"}),
    "/admin/tiers/<name>/renewing": Filled("admin", {"report": "yes"}, lambda _: {"name": "research"}),
    "/admin/tokens/<public_id>/revoke": Filled("admin"),
    "/agreements/<name>": Filled(
        "unsigned", {"version_sha256": "", "signer_name": "Una Owner", "signer_title": "Rector",
                     "statement": "I sign for Birch University", "read": "y"}, _text,
    ),
    "/appearance": Filled("cleared", {"appearance": "dark"}, entries=0),
    "/audit/alarms/<int:alarm_id>/resolve": Filled("admin", {"resolution": "A known address."}),
    "/audit/exports": Filled("auditor", {"format": "jsonl"}, again="each export is written down"),
    "/audit/verifications": Filled("auditor", entries=0),
    "/findings/<int:finding_id>/attachments/<int:attachment_id>": Filled("cleared", again="each reading is logged"),
    "/device": Filled("cleared", {"user_code": ""}, device_asks, entries=0),
    "/device/<user_code>/approve": Filled(
        "cleared", {"name": "node-7", "scopes": "stages:read", "days": "30"}, device_asks, entries=0
    ),
    "/device/<user_code>/deny": Filled("cleared", before=device_asks, entries=0),
    "/findings/new": Filled(
        "cleared", {"stage": "gpt-2/774M", "checkpoint": "main", "kind": "misuse", "severity": "high",
                    "title": "It writes lures", "text": "We *tried*.", "embargo_until": "2027-01-31",
                    "may_publish": "y"},
    ),
    "/password/forgotten": Filled(
        "cleared", {"email": "owner@aurora-institute.example"}, entries=0, again="each asks for a mail"
    ),
    "/people/<int:person_id>/disable": Filled("cleared", before=_member),
    "/people/<int:person_id>/enable": Filled("cleared", before=_disabled),
    "/people/<int:person_id>/role": Filled("cleared", {"role": "owner"}, _member),
    "/people/invitations/<int:invitation_id>/resend": Filled("cleared", before=_invited, entries=2),
    "/people/invitations/<int:invitation_id>/withdraw": Filled("cleared", before=_invited),
    "/people/invite": Filled("cleared", NEW_PERSON),
    "/requests/<int:request_id>/withdraw": Filled("uncleared", before=_asked),
    "/requests/new": Filled(
        "uncleared", {"stages": "gpt-2/774M", "purpose": "We study bias.", "until": "2027-01-31"}
    ),
    "/requests/renew/<int:clearance_id>": Filled("cleared", before=lambda _: {"clearance_id": 1}),
    "/sign-out": Filled("cleared", entries=0),
    "/stages/<model>/<stage>/<checkpoint>/files": Filled(
        "cleared", {"path": "vocab.bpe"}, again="each is a download"
    ),
    "/tokens/<public_id>/revoke": Filled("cleared"),
    "/tokens/<public_id>/rotate": Filled("cleared", {"made_with": KEY}),
    "/tokens/<public_id>/take-over": Filled("cleared", before=_of_a_colleague),
    "/trust-records/<int:trust_record_id>/revoke": Filled("cleared"),
    "/trust-records/new": Filled(
        "cleared",
        {
            "made_with": KEY, "name": "pipeline", "issuer": NEVER_ASKED, "audience": "weights", "scopes": "stages:read",
            "claims": "repository_id = 74", "last_day": "2027-01-31",
        },
        before=_known_issuer,
    ),
    "/tokens/new": Filled("cleared", {"made_with": KEY, "name": "cluster", "scopes": "stages:read", "days": "30"}),
}  # fmt: skip
ATTACHING = "tests/web/portal/partner/test_finding_attachments.py"
PROVIDERS = "tests/web/portal/account/test_provider_sign_in.py"
# Forms that answer a challenge which works once; each is sent again by the test named.
CHALLENGES = {
    "/account/confirm": "tests/web/portal/kit/test_freshness.py",
    "/account/confirm/with/<provider>": PROVIDERS,
    "/account/identities/link/<provider>": PROVIDERS,
    "/account/confirm/passkey": "tests/web/portal/account/test_factors.py",
    "/account/passkeys": "tests/web/portal/account/test_factors.py",
    "/account/passkeys/begin": "tests/web/portal/account/test_factors.py",
    "/account/password": "tests/web/portal/account/test_account.py",
    "/account/totp": "tests/web/portal/account/test_factors.py",
    "/findings/<int:finding_id>/attachments": ATTACHING,
    "/findings/<int:finding_id>/attachments/<int:attachment_id>/complete": ATTACHING,
    "/invitations/<secret>/with/<provider>": PROVIDERS,
    "/sign-in/accept": PROVIDERS,
    "/sign-in/with/<provider>": PROVIDERS,
    "/invitations/<secret>": "tests/web/portal/account/test_invitations.py",
    "/password/<secret>": "tests/web/portal/account/test_password.py",
    "/sign-in": "tests/web/portal/account/test_sign_in.py",
    "/sign-in/passkey": "tests/web/portal/account/test_factors.py",
    "/sign-in/passkey/begin": "tests/web/portal/account/test_factors.py",
    "/sign-in/recovery-code": "tests/web/portal/account/test_factors.py",
    "/sign-in/second-factor": "tests/web/portal/account/test_sign_in.py",
}
