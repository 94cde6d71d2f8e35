"""Trust records: an owner says which machines act for the organization; what they may say, and who sees it."""

from datetime import timedelta
from typing import Any

import pytest

from server.domain.errors import NotFound, NotPossible, Refused
from server.domain.identity import trust_records
from server.domain.identity.trust_records import Terms, TrustRecord
from server.domain.permissions import Role, Scope
from tests import s3
from tests.issuer import NEVER_ASKED, Issuer, exchanged, trust_nobody, trusting
from tests.visits import Visit, words
from tests.web.portal.partner.test_tokens import key_of
from tests.world import STRANGER, World

GOOD: dict[str, Any] = {
    "name": "pipeline", "issuer": NEVER_ASKED, "audience": "https://weights.example.org",
    "claims": "repository_id = 74\r\n\r\nref = refs/heads/main=x", "scopes": ["stages:read", "downloads:create"],
    "networks": "192.0.2.0/24",
}  # fmt: skip


def filled(world: World, visit: Visit, **changes: Any) -> dict[str, Any]:
    last_day = str((world.clock() + timedelta(days=30)).date())
    return {"made_with": key_of(visit.get("/trust-records/new").text), "last_day": last_day, **GOOD, **changes}


def found(world: World, number: int) -> TrustRecord:
    with world.use.database.reading() as session:
        return trust_records.find(session, world.person("cleared"), number)


@pytest.fixture
def known(sqlite_world: World) -> World:
    trust_nobody(sqlite_world)
    return sqlite_world


def test_an_owner_creates_a_trust_record(known: World) -> None:
    """With exactly what was typed; it is in the log, and its page says how a machine uses it."""
    visit = known.visit("cleared")
    made = visit.post("/trust-records/new", filled(known, visit))
    assert (made.status_code, made.location) == (303, "/trust-records/1")
    record = found(known, 1)
    assert (record.issuer, record.audience) == (NEVER_ASKED, "https://weights.example.org")
    assert record.required == {"repository_id": "74", "ref": "refs/heads/main=x"}
    assert (record.scopes, record.networks) == ("downloads:create stages:read", "192.0.2.0/24")
    (entry,) = known.records("trust_record.create")
    assert (entry["trust_record"], entry["claims"], entry["organization"]) == (1, record.required, "aurora-institute")
    page = visit.get("/trust-records/1").text
    assert "weightgate login --oidc" in page
    assert "AWS_ROLE_ARN" not in page  # no door for S3 tools is open
    assert "pipeline" in visit.get("/trust-records").text


def test_a_pod_is_told_the_doors_that_are_open(known: World) -> None:
    """Where its keys come from and where the files are, unless machines get no keys here."""
    number = trusting(known, NEVER_ASKED)
    s3.open_door(known, s3_door_url="https://s3.example.org")
    page = known.visit("cleared").get(f"/trust-records/{number}").text
    assert f"arn:aws:iam::{number:012}:role/MODEL/STAGE" in page
    assert "AWS_ENDPOINT_URL_STS=http://localhost:8080/sts" in page
    assert "AWS_ENDPOINT_URL_S3=https://s3.example.org" in page
    s3.open_door(known, web_identity_credentials=False)
    assert "AWS_ROLE_ARN" not in known.visit("cleared").get(f"/trust-records/{number}").text


def test_it_takes_a_fresh_sign_in(known: World) -> None:
    """What opens an organization's stages to a machine is asked of the person once more."""
    visit = known.visit("cleared")
    form = filled(known, visit)
    visit.grow_stale()
    assert visit.post("/trust-records/new", form).status_code == 403
    assert known.records("trust_record.create") == []


@pytest.mark.parametrize("like", ["github", "gitlab", "kubernetes", "", "other"])
def test_the_form_knows_some_kinds_of_machines(known: World, like: str) -> None:
    """Their claims are there to be filled in; unfilled they are refused."""
    visit = known.visit("cleared")
    page = visit.get(f"/trust-records/new?like={like}").text
    claims = page.partition('name="claims"')[2].partition(">")[2].partition("</textarea>")[0].strip()
    assert bool(claims) == (like in {"github", "gitlab", "kubernetes"})
    if claims:
        answer = visit.post("/trust-records/new", filled(known, visit, claims=claims))
        assert answer.status_code == 422
        assert "Write each claim as name = value" in words(answer)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an issuer that is not listed": ({"issuer": "https://evil.example.org"}, "Not a valid choice"),
    "no audience": ({"audience": ""}, "required"),
    "an audience with a space": ({"audience": "a b"}, "1 to 255 characters without spaces"),
    "no claims": ({"claims": ""}, "required"),
    "no identifying claim": ({"claims": "ref = refs/heads/main"}, "identifies the workload"),
    "a claim without value": ({"claims": "sub = "}, "name = value"),
    "a claim without name": ({"claims": "sub = x\n= y"}, "without spaces"),
    "a claim with spaces": ({"claims": "sub = x\na b = y"}, "without spaces"),
    "a claim twice": ({"claims": "sub = x\nsub = y"}, "appears twice"),
    "a claim that is checked anyway": ({"claims": "sub = x\naud = y"}, "always checked"),
    "a long value": ({"claims": "sub = " + "x" * 501}, "1 to 500"),
    "many claims": ({"claims": "sub = x\n" + "\n".join(f"c{n} = x" for n in range(10))}, "10 claims or fewer"),
    "no scope": ({"scopes": []}, "Choose at least one"),
    "a scope that writes": ({"scopes": ["checkpoints:publish"]}, "not a valid choice"),
    "a day that is over": ({"last_day": "2020-01-01"}, "up to 366 days"),
    "a day too far": ({"last_day": "2099-01-01"}, "up to 366 days"),
    "no network": ({"networks": "nowhere"}, "network"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_identifies_no_machine_is_refused(known: World, case: str) -> None:
    """With a sentence at the form, and no record."""
    change, sentence = BAD[case]
    visit = known.visit("cleared")
    answer = visit.post("/trust-records/new", filled(known, visit, **change))
    assert answer.status_code in {400, 422}
    assert sentence in words(answer)
    assert known.records("trust_record.create") == []


def test_only_an_owner_may(known: World) -> None:
    """Neither members, nor the lab, nor another organization's owner, nor a token of the owner's; nor nobody."""
    number = trusting(known, NEVER_ASKED)
    known.add_person("aurora-institute", "second@aurora-institute.example", Role.MEMBER)
    terms = Terms("x", NEVER_ASKED, "a", {"sub": "x"}, {Scope.STAGES_READ}, known.clock() + timedelta(days=1))
    member = known.person_of("second@aurora-institute.example")
    for caller in (member, known.admin, known.person("publisher"), known.caller("cleared"), STRANGER):
        with pytest.raises(Refused):
            trust_records.create(known.use, caller, terms)
        with pytest.raises(Refused):
            trust_records.revoke(known.use, caller, number)
    with pytest.raises(NotFound):
        trust_records.revoke(known.use, known.person("unsigned"), number)
    assert found(known, number).revoked_at is None


def test_an_organization_has_only_so_many(known: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were revoked do not count."""
    monkeypatch.setattr(trust_records, "LIVE_AT_MOST", 2)
    first = trusting(known, NEVER_ASKED)
    trusting(known, NEVER_ASKED)
    with pytest.raises(NotPossible, match="has 2 trust records"):
        trusting(known, NEVER_ASKED)
    trust_records.revoke(known.use, known.person("cleared"), first)
    trusting(known, NEVER_ASKED)


def test_revoking_is_one_click_and_a_confirmation(sqlite_world: World, issuer: Issuer) -> None:
    """The page lists what machines got, and after that nothing of it works."""
    world = sqlite_world
    number = trusting(world, issuer)
    made = exchanged(world, issuer.token())
    visit = world.visit("cleared")
    page = visit.get(f"/trust-records/{number}").text
    assert f"wgs_{made.token.public_id}_" in page
    assert made.text not in page
    shown = visit.get(f"/tokens/{made.token.public_id}").text
    assert "made for a workload" in shown
    assert "Rotate token" not in shown
    assert visit.get(f"/trust-records/{number}/revoke").status_code == 200
    assert visit.post(f"/trust-records/{number}/revoke").status_code == 303
    assert world.api("GET", "/me", made.text).status_code == 401
    assert visit.post(f"/trust-records/{number}/revoke").status_code == 409
    assert "revoked" in visit.get(f"/trust-records/{number}").text


def test_without_an_issuer_the_page_says_whom_to_ask(sqlite_world: World) -> None:
    """The lab decides which issuers there are."""
    page = sqlite_world.visit("cleared").get("/trust-records")
    assert "does not accept any issuer" in words(page)
    assert "Create trust record" not in words(page)
