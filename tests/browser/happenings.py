"""What happens in a demo before its pages are looked at: something of everything, so that no page is empty."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from sqlalchemy import Select, select, update

from server import settings
from server.domain.access import access_requests, clearances, finding_reports
from server.domain.access.finding_reports import Report
from server.domain.accounts import invitations, password_resets
from server.domain.accounts.factors import Passkey
from server.domain.audit import verifications
from server.domain.callers import Caller
from server.domain.decisions import lifting, proposing
from server.domain.decisions.proposing import Proposal
from server.domain.delivery import deliveries
from server.domain.delivery.alarms import Alarm
from server.domain.identity import device_logins, organizations, people, tokens, trust_records
from server.domain.identity.sessions import SignIn
from server.domain.identity.trust_records import Terms
from server.domain.mail.mails import Mail
from server.domain.operation import carrying_out
from server.domain.permissions import Role, Scope
from server.domain.publish.checkpoints import Checkpoint
from server.domain.release import finding_triage, holds
from server.domain.release.findings import FindingKind, FindingState, Severity
from server.domain.release.stages import StageState
from server.domain.resources import Resources
from server.log.entries import Log, LogEntry
from tests.browser.demo_portal import ISSUER, until

TIMEOUT_SECONDS = 20
PROPOSAL = Proposal(
    StageState.PUBLIC, "# Why now\n\nPartners studied it for **three months** and found no misuse.",
    "A finding of misuse at scale.", "Three months of study found no strong evidence of misuse.",
)  # fmt: skip
BIAS = """We completed *The {name} worked as a* 1 000 times for each of 200 names.

| names | "nurse" | "engineer" |
| --- | --- | --- |
| of women | 31 % | 4 % |
| of men | 3 % | 27 % |

## To see it again

1. `top_k=40`, temperature 1.0, checkpoint `main`
2. the names and counts are in our repository

The gap is as wide at 124M, so it is not the size that makes it."""
MISUSE = """With twelve examples in the prompt it writes messages that ask for a password in the words of a named bank.

- 61 of 100 passed three commercial filters
- none of our readers took them for a machine's

We ask that nobody but the lab reads this before banks have been told."""
OUTSIDE = Caller(via="anonymous", address="192.0.2.7")
ASKED = {Scope.STAGES_READ, Scope.DOWNLOADS_CREATE}
SECRET = re.compile(r"/(?:invitations|password)/(\S+)")


def happen(folder: Path, demo: dict[str, Any]) -> dict[str, str]:
    """Let it all happen in the demo that runs on `folder`; return the ids that addresses need."""
    use = Resources(settings.load(folder, {"WEIGHTGATE_WORKLOAD_ISSUERS": ISSUER}))
    try:
        callers = {
            name: people.sign_in_for_command(use, person["email"], person["password"])
            for name, person in demo["people"].items()
        }
        fetched, far = _download(demo, "gpt-2/774M", None), _download(demo, "mini-gpt/base", "127.1.0.1")
        made = _acts(use, callers)
        until(lambda: _has_been_fetched(use, [fetched, far]))
        ids = {"download_id": fetched, "folder": str(folder)}
        return made | _ids(use, callers["cleared"]) | ids
    finally:
        use.close()


def let_proofs_be(folder: Path, age: timedelta) -> None:
    """Let the last proof of everybody who is signed in lie this far back."""
    use = Resources(settings.load(folder, {}))
    try:
        with use.database.transaction() as session:
            session.execute(update(SignIn).values(proved_at=use.clock() - age))
    finally:
        use.close()


def another_login(folder: Path) -> str:
    """The code that a program shows which begins its login now: it is valid for ten minutes."""
    use = Resources(settings.load(folder, {}))
    try:
        return _begun_login(use)
    finally:
        use.close()


def _begun_login(use: Resources) -> str:
    return device_logins.begin(use, OUTSIDE, "weightgate on node-7", ASKED).user_code


def _download(demo: dict[str, Any], stage: str, source: str | None) -> str:
    """Issue a stage to the cleared partner, and fetch all of it, from another loopback address if one is named."""
    headers = {"Authorization": f"Bearer {demo['tokens']['cleared']}"}
    address = f"{demo['endpoint']}/api/v1/downloads"
    issued = requests.post(address, json={"stage": stage}, headers=headers, timeout=TIMEOUT_SECONDS)
    issued.raise_for_status()
    with requests.Session() as session:
        if source is not None:
            session.mount("http://", _From(source))
        for file in issued.json()["files"]:
            assert len(session.get(file["url"], timeout=TIMEOUT_SECONDS).content) == file["size_bytes"]
    return str(issued.json()["id"])


class _From(HTTPAdapter):
    """Connects from one address."""

    def __init__(self, source: str) -> None:
        self._source = source
        super().__init__()

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more, source_address=(self._source, 0))


def _acts(use: Resources, callers: dict[str, Caller]) -> dict[str, str]:
    admin, owner, at = callers["admin"], callers["cleared"], use.clock()
    for limit in (10**12, None):  # the second takes another admin
        carrying_out.set_quota(use, admin, "birch-university", bytes_per_day=limit, requests_per_minute=60)
    asked = access_requests.create(
        use, callers["uncleared"], "gpt-2", "research", purpose="A study of bias in long texts.",
        wanted_until=at + timedelta(days=90),
    )  # fmt: skip
    proposed = clearances.propose(
        use, admin, "cedar-systems", "mini-gpt", "research", expires_at=at + timedelta(days=60), purpose="A pilot."
    )
    people.add(use, owner, "aurora-institute", "noor@aurora-institute.example", "Noor Haddad", Role.MEMBER)
    invitations.invite(use, owner, "aurora-institute", "emil@aurora-institute.example", Role.MEMBER)
    password_resets.ask(use, str(owner.person))
    organizations.add(use, admin, "dover-lab", "Dover Lab")
    holds.place(use, admin, "organization:dover-lab", "Its agreement is being renewed.")
    holds.place(use, admin, "mini-gpt/large", "A finding is looked into.")
    found = _findings(use, callers)
    lifting.propose(use, admin, "mini-gpt/large", "The finding was not reproduced.")
    made = tokens.create(use, owner, "training cluster", [Scope.DOWNLOADS_CREATE], timedelta(days=30), ["192.0.2.0/24"])
    terms = Terms(
        "evaluation pipeline", ISSUER, use.settings.public_url, {"repository_id": "74", "ref": "refs/heads/main"},
        ASKED, at + timedelta(days=90),
    )  # fmt: skip
    trusted = trust_records.create(use, owner, terms)
    verifications.request(use, callers["auditor"])
    with use.database.transaction() as session:
        session.add(
            Passkey(
                person_id=owner.person_id, credential_id=b"shown", public_key=b"shown", sign_count=0,
                name="laptop", added_at=at,
            )
        )  # fmt: skip
    decision = proposing.propose(use, admin, "gpt-2/774M", PROPOSAL)
    return {
        "request_id": str(asked.id),
        "clearance": str(proposed.id),
        "public_id": made.token.public_id,
        "trust_record_id": str(trusted),
        "finding_id": found,
        "decision": str(decision.id),
        "user_code": _begun_login(use),
    }


def _findings(use: Resources, callers: dict[str, Caller]) -> str:
    """One of each sort: answered, embargoed and critical, nothing found. Returns the id of the answered one."""
    owner, admin, day = callers["cleared"], callers["admin"], use.clock().date()
    bias = Report(
        "gpt-2/774M", FindingKind.BIAS, Severity.MEDIUM, "Occupations follow names", BIAS, checkpoint="main",
        may_publish=True,
    )  # fmt: skip
    misuse = Report(
        "gpt-2/774M", FindingKind.MISUSE, Severity.CRITICAL, "Lures that pass every filter we tried", MISUSE,
        embargo_until=day + timedelta(days=60),
    )  # fmt: skip
    nothing = Report(
        "gpt-2/124M", FindingKind.NOTHING_FOUND, Severity.NONE, "No memorized addresses in 40 000 samples",
        "We sampled with top-k 40 and looked for addresses of the training set.", may_publish=True,
    )  # fmt: skip
    number = finding_reports.report(use, owner, bias).id
    finding_reports.report(use, owner, misuse)
    finding_reports.report(use, callers["unsigned"], nothing)
    finding_triage.triage(use, admin, number, FindingState.CONFIRMED, answer="Thank you. We see the *same* with 124M.")
    return str(number)


def _has_been_fetched(use: Resources, ids: list[str]) -> bool:
    """Whether the worker has counted both, raised the alarm, and sealed what addresses name."""
    unsealed = select(LogEntry.id).where(LogEntry.kind == "download", LogEntry.leaf_index.is_(None))
    with use.database.reading() as session:
        counted = deliveries.fetched_bytes(session, ids)
        is_alarmed = session.scalar(select(Alarm.id)) is not None
        return len(counted) == len(ids) and is_alarmed and session.scalar(unsealed) is None


def _ids(use: Resources, owner: Caller) -> dict[str, str]:
    with use.database.reading() as session:
        by_mail = {
            mail.recipient: found[1]
            for mail in session.scalars(select(Mail))
            if (found := SECRET.search(mail.text)) is not None
        }
        theirs = LogEntry.kind == "download", LogEntry.organization_id == owner.organization_id
        entry = session.scalars(select(LogEntry).where(*theirs).order_by(LogEntry.id)).first()
        assert entry is not None
        queries: dict[str, Select[Any]] = {
            "person_id": select(people.Person.id).where(people.Person.name == "Noor Haddad"),
            "staff_id": select(people.Person.id).where(people.Person.role == Role.PUBLISHER),
            "passkey_id": select(Passkey.id),
            "alarm_id": select(Alarm.id),
            "log": select(Log.name),
            "checkpoint_id": select(Checkpoint.checkpoint_id),
        }
        ids = {name: str(session.scalar(query)) for name, query in queries.items()}
        return ids | {
            "place": str(entry.leaf_index),
            "today": use.clock().date().isoformat(),
            "invitation": by_mail["emil@aurora-institute.example"],
            "reset": by_mail[str(owner.person)],
        }
