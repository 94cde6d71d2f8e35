"""The worked example: a lab, three partners, the GPT-2 ladder and one in safetensors, made by the real commands."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from server.domain.access import clearances, signatures
from server.domain.accounts import granting
from server.domain.callers import Caller
from server.domain.decisions import deciding, proposing
from server.domain.decisions.proposing import Proposal
from server.domain.identity import organizations, people, tokens
from server.domain.operation import bootstrap
from server.domain.operation.bootstrap import FirstAdmin
from server.domain.permissions import Role, Scope
from server.domain.publish import publishing
from server.domain.release import agreements, stages, tiers
from server.domain.release.decisions import Decision
from server.domain.release.stages import StageState
from server.domain.resources import Resources
from server.example import gpt2, mini_gpt

AGREEMENT = "model-sharing"
AGREEMENT_FILE = Path(__file__).parents[1] / "config" / "agreements" / "model-sharing.md"
LAB = "example-lab"
PARTNERS = {"cleared": "aurora-institute", "unsigned": "birch-university", "uncleared": "cedar-systems"}
NAMES = {"cleared": "Aurora Institute", "unsigned": "Birch University", "uncleared": "Cedar Systems"}
PEOPLE = {
    "publisher": "Pia Marsh", "auditor": "Aron Vale", "cleared": "Iris Okafor", "unsigned": "Bo Lindqvist",
    "uncleared": "Carla Reyes",
}  # fmt: skip
STAFF = {"publisher": Role.PUBLISHER, "auditor": Role.AUDITOR}
READING = (Scope.STAGES_READ, Scope.LOG_READ)
SCOPES = {
    "admin": (*READING, Scope.DOWNLOADS_CREATE, Scope.FINDINGS_CREATE),
    "auditor": (*READING, Scope.FINDINGS_READ),
    "publisher": (*READING, Scope.DOWNLOADS_CREATE, Scope.CHECKPOINTS_PUBLISH, Scope.FINDINGS_CREATE),
    "cleared": (*READING, Scope.DOWNLOADS_CREATE, Scope.FINDINGS_CREATE),
    "unsigned": (*READING, Scope.DOWNLOADS_CREATE, Scope.FINDINGS_CREATE),
    "uncleared": (*READING, Scope.DOWNLOADS_CREATE, Scope.FINDINGS_CREATE),
}
LADDER = {  # name: state, public note, and the public reason of the decision that released it
    "124M": (
        StageState.PUBLIC,
        None,
        "The smallest model lets everyone study the approach; its text is easily told apart.",
    ),
    "355M": (StageState.PUBLIC, None, "We saw no misuse of 124M since February, and research needs a stronger model."),
    "774M": (StageState.PARTNERS, None, "Partners study misuse, bias and detection before everyone can have it."),
    "1558M": (StageState.PLANNED, "In a few months; findings from partners could change this.", ""),
}
STAGES = {
    "public": "gpt-2/124M",
    "partners": "gpt-2/774M",
    "planned": "gpt-2/1558M",
    "safetensors": "mini-gpt/base",
    "above": "mini-gpt/large",
}


@dataclass
class Example:
    """What was made, with the secrets that only a demo writes down."""

    people: dict[str, dict[str, str]]
    tokens: dict[str, str]
    stages: dict[str, str]
    sources: dict[str, str]


def build(use: Resources, sources: Path, say: Callable[[str], None] = lambda _: None) -> Example:
    """Make the whole example in a fresh database; the files go below `sources`."""
    example = Example({}, {}, dict(STAGES), {})
    say("people and organizations")
    callers = _people(use, example)
    say("tiers, agreement, ladders")
    _ladders(use, callers["admin"])
    _clear(use, callers["admin"], callers["admin2"])
    _publish_all(use, callers["publisher"], sources, example, say)
    _move_all(use, callers["admin"], callers["admin2"])
    say("tokens")
    for name, scopes in SCOPES.items():
        example.tokens[name] = tokens.create(use, callers[name], f"{name}, demo", scopes, timedelta(days=90)).text
    short = tokens.create(use, callers["cleared"], "expired, demo", SCOPES["cleared"], timedelta(microseconds=1))
    example.tokens["expired"] = short.text
    return example


def _people(use: Resources, example: Example) -> dict[str, Caller]:
    admins = [
        FirstAdmin(f"{name}@{LAB}.example", title, people.new_password())
        for name, title in (("ada", "Ada Quist"), ("ben", "Ben Tanaka"))
    ]
    for key, made in zip(("admin", "admin2"), bootstrap.begin(use, LAB, "Example Lab", admins), strict=True):
        example.people[key] = {"email": made.email, "password": made.password, "totp_secret": made.totp_secret}
    callers = {key: _sign_in(use, example, key) for key in ("admin", "admin2")}
    for key, role in STAFF.items():
        email = f"{key}@{LAB}.example"
        _add(use, example, callers["admin"], key, LAB, email, role)
        granting.approve(use, callers["admin2"], email)
    for key, slug in PARTNERS.items():
        organizations.add(use, callers["admin"], slug, NAMES[key])
        _add(use, example, callers["admin"], key, slug, f"owner@{slug}.example", Role.OWNER)
    return callers | {key: _sign_in(use, example, key) for key in (*STAFF, *PARTNERS)}


def _add(use: Resources, example: Example, admin: Caller, key: str, organization: str, email: str, role: Role) -> None:
    password = people.new_password()  # counts as their own, as demo.json is all that there is of them
    _, totp_secret = granting.add(use, admin, organization, email, PEOPLE[key], role, password)
    example.people[key] = {"email": email, "password": password, "totp_secret": totp_secret}


def _sign_in(use: Resources, example: Example, key: str) -> Caller:
    person = example.people[key]
    return people.sign_in_for_command(use, person["email"], person["password"])


def _ladders(use: Resources, admin: Caller) -> None:
    for rank, name in enumerate(("registered", "research", "partner"), start=1):
        tiers.add(use, admin, name, rank * 10)
    agreements.publish(use, admin, AGREEMENT, AGREEMENT_FILE.read_text(encoding="utf-8"))
    stages.add_model(use, admin, "gpt-2", "GPT-2")
    for known in gpt2.STAGES:
        state, note, _ = LADDER[known.name]
        name = f"gpt-2/{known.name}"
        announced = state is StageState.PLANNED
        stages.add(
            use, admin, name, tier="research", agreement=AGREEMENT, parameters=known.parameters,
            announced=announced, note=note,
        )  # fmt: skip
        for alias in known.aliases:
            stages.add_alias(use, admin, name, alias)
    stages.add_model(use, admin, "mini-gpt", "mini-gpt, a small model in safetensors")
    stages.add(use, admin, "mini-gpt/base", tier="research", agreement=AGREEMENT)
    stages.add(use, admin, "mini-gpt/large", tier="partner", agreement=AGREEMENT)


def _clear(use: Resources, admin: Caller, admin2: Caller) -> None:
    """Two partners are cleared by two admins; one of them has signed as well."""
    at = use.clock()
    for key in ("cleared", "unsigned"):
        for model in ("gpt-2", "mini-gpt"):
            proposed = clearances.propose(
                use, admin, PARTNERS[key], model, "research", expires_at=at + timedelta(days=365),
                purpose="Study of misuse and bias before the next release.",
            )  # fmt: skip
            clearances.approve(use, admin2, proposed.id)
    signatures.record(
        use, admin, PARTNERS["cleared"], AGREEMENT, signer_name="Sol Signer", signer_title="Head of Research",
        signed_on=at.date(), document_sha256=hashlib.sha256(secrets.token_bytes(32)).hexdigest(),
    )  # fmt: skip


def _publish_all(
    use: Resources, publisher: Caller, sources: Path, example: Example, say: Callable[[str], None]
) -> None:
    for known in gpt2.STAGES:
        name = f"gpt-2/{known.name}"
        say(name)
        gpt2.write(sources / name, known.name)
        publishing.publish(use, publisher, sources / name, name, note="The original seven files, at reduced size.")
        example.sources[name] = str(sources / name)
    sizes: tuple[tuple[Literal["base", "large"], tuple[int, ...]], ...] = (("base", (1, 2)), ("large", (1,)))
    for size, revisions in sizes:
        name = f"mini-gpt/{size}"
        for revision in revisions:
            say(f"{name}, checkpoint {revision}")
            mini_gpt.write(sources / name, size, revision)
            publishing.publish(use, publisher, sources / name, name, note=f"Checkpoint {revision}.")
        example.sources[name] = str(sources / name)


def move(
    use: Resources, admin: Caller, admin2: Caller, name: str, to: StageState, reason: str = "As in the worked example."
) -> Decision:
    """Move a stage as it is always moved: one admin proposes it, and another approves it."""
    proposal = Proposal(to, rationale=reason, would_change="Findings of misuse.", public_reason=reason)
    return deciding.approve(use, admin2, proposing.propose(use, admin, name, proposal).id)


def _move_all(use: Resources, admin: Caller, admin2: Caller) -> None:
    for name, (state, _, reason) in LADDER.items():
        if state is not StageState.PLANNED:
            move(use, admin, admin2, f"gpt-2/{name}", state, reason)
    for name in ("mini-gpt/base", "mini-gpt/large"):
        move(use, admin, admin2, name, StageState.PARTNERS)
