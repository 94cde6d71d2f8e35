"""Reading: whatever web reads for somebody, domain is told for whom, and gives a partner nothing of another's."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

import server
from server.domain.access import clearances, signatures
from server.domain.audit import exposure, log_status
from server.domain.callers import Caller
from server.domain.delivery import alarms, log_follower, usage
from server.domain.downloads import issuing, live_urls
from server.domain.errors import NotFound, NotPermitted, Refused
from server.domain.identity import organizations, people, proposals, tokens
from server.domain.paging import Page, Slice
from server.domain.publish import checkpoints
from server.domain.release import holds, stages
from tests.world import World

SOURCES = Path(server.__file__).parent
ALL = Slice(50)
# Read without a caller, each because of what it is. Whoever adds a line says for whom it is safe, and why.
NO_CALLER = {
    "by its secret, which is what shows that one may": {
        "ceremonies.running", "invitations.find", "invitations.require_known", "invitations.require_provider",
        "password_resets.require_open",
    },
    "of a row or ids that were read for the caller": {
        "signatures.agreement_of", "deliveries.fetched_bytes", "deliveries.of_download", "deliveries.summaries",
        "token_uses.of", "sessions.last_seen", "log_entries.check", "log_entries.slugs", "receipts.again",
        "alarms.entry_of", "alarms.of_entry", "alarms.token_of", "clearances.alongside", "organizations.quota_of",
        "agreements.versions", "stages.aliases", "stages.opened_by", "tiers.needs_second_person",
        "blockers.of", "decisions.considered", "finding_attachments.attached", "finding_releases.candidates",
        "granting.standing_of", "holds.hold_of", "linked_identities.of_person", "renewal_reports.since",
        "role_grants.of_people", "second_person.fault", "second_person.lapsed", "uploads.size_bytes",
    },
    "of a person who is half signed in, and nobody's caller yet": {"factors.passkeys"},
    "of a stage that the access rule lets the caller read": {
        "checkpoints.published", "checkpoints.file_list", "checkpoints.holding", "checkpoints.manifest",
        "checkpoints.names", "rule.file_list",
    },
    "another spelling of a name that the access rule then judges": {"stages.spelled"},
    "told of a stage that one may know of, where a setting shows it before access": {
        "checkpoints.totals", "descriptions.of",
    },
    "names of stages with partners, which everybody who may ask for access may know": {"access_requests.for_stages"},
    "the public ladder, unless the settings close it, and whose it is": {"organizations.lab", "releases.read"},
    "everybody's who gets as far as the page": {
        "agreements.current", "agreements.find_version", "agreements.names", "tiers.all_of_them", "tiers.ranked",
    },
    "published: the log shows its heads and keys to the world": {
        "logs.anchored", "logs.current", "logs.heads", "logs.named", "logs.newest_first",
    },
    "shown in development only, to whoever sits at the machine": {"mails.get", "mails.listed"},
}  # fmt: skip


def readers() -> dict[str, set[str]]:
    """Each public function of domain that takes a session, by `module.function`: its parameters."""
    found = {}
    for path in (SOURCES / "domain").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                parameters = {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
                if "session" in parameters:
                    found[f"{path.stem}.{node.name}"] = parameters
    return found


def called_by_web() -> Iterator[str]:
    """What web names of domain's modules, by `module.function`, whatever it calls them itself."""
    for path in (SOURCES / "web").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules: dict[str, str] = {}
        names: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("server.domain"):
                modules |= {one.asname or one.name: one.name for one in node.names}
                names |= {one.asname or one.name: f"{node.module.rpartition('.')[2]}.{one.name}" for one in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                yield f"{modules[node.value.id]}.{node.attr}"
            elif isinstance(node, ast.Name) and node.id in names:
                yield names[node.id]


def test_whoever_reads_for_somebody_says_for_whom() -> None:
    """Every function of domain that web calls with a session takes the caller too, or stands above with its reason."""
    known = readers()
    used = {name for name in called_by_web() if name in known}
    assert len(used) > 80
    assert {name for name in used if "caller" not in known[name]} == set().union(*NO_CALLER.values())


READS: dict[str, Callable[[Session, Caller, World], Any]] = {  # each asks for what is the cleared partner's
    "clearances that open a stage": lambda session, caller, world: clearances.opening(
        session, caller, stages.get(session, "gpt-2/774M"), ALL, world.clock()
    ),
    "signatures in force": lambda session, caller, _: signatures.in_force(session, caller, 1, ALL),
    "people": lambda session, caller, world: people.of_organization(session, caller, aurora(world), ALL),
    "people by id": lambda session, caller, world: people.named(
        session, caller, [world.person("cleared").person_id or 0]
    ),
    "tokens": lambda session, caller, world: tokens.of_organization(session, caller, aurora(world), ALL),
    "live tokens": lambda session, caller, world: tokens.live_of(
        session, caller, world.person("cleared").person_id or 0, world.clock()
    ),
    "organization": lambda session, caller, _: organizations.find(session, caller, "aurora-institute"),
    "organization by id": lambda session, caller, world: organizations.of_id(session, caller, aurora(world)),
    "live URLs of the organization": lambda session, caller, world: live_urls.of_organization(
        session, caller, aurora(world), world.clock()
    ),
    "live URLs of a stage": lambda session, caller, world: live_urls.of_held(
        session, caller, "gpt-2/774M", world.clock()
    ),
    "live URLs of everything": lambda session, caller, world: live_urls.of_held(
        session, caller, "everything", world.clock()
    ),
    "live URLs under a clearance": lambda session, caller, world: live_urls.under_clearance(
        session, caller, 1, aurora(world), world.clock()
    ),
    "usage of the organization": lambda session, caller, world: (
        usage.by_organization(session, caller, aurora(world), world.clock()).month.downloads
    ),
    "usage of a stage": lambda session, caller, world: (
        usage.of_stage(session, caller, "gpt-2/774M", world.clock()).month.downloads
    ),
    "downloads of a checkpoint": lambda session, caller, world: usage.downloads_of_checkpoint(
        session, caller, "gpt-2/774M", world.records("download")[0]["checkpoint"]
    )[0],
    "whether there is a hold": lambda session, caller, _: holds.state_of(session, caller, "gpt-2/774M"),
    "stages of the exposure": lambda session, caller, _: exposure.stage_names(session, caller),
    "logs that are followed": lambda session, caller, _: log_follower.followed(session, caller) or "none yet",
    "proposals about a stage": lambda session, caller, _: (
        proposals.all_open_of(session, caller, "gpt-2/774M") or "none waits"
    ),
    "any stage": lambda session, caller, _: stages.find(session, caller, "gpt-2/774M"),
    "all models": lambda session, caller, _: stages.all_models(session, caller),
    "any checkpoint": lambda session, caller, _: checkpoints.get(session, caller, checkpoint(session)),
    "alarms": lambda session, caller, _: alarms.listed(session, caller, ALL).items or "none was raised",
    "open alarms": lambda session, caller, _: log_status.open_alarms(session, caller) or "none was raised",
}


def aurora(world: World) -> int:
    return world.person("cleared").organization_id or 0


def checkpoint(session: Session) -> str:
    known = stages.get(session, "gpt-2/774M")
    return checkpoints.published(session, known.id, ALL).items[0].checkpoint_id


def read(world: World, caller: Caller, name: str) -> Any:
    """What is found, or the refusal."""
    with world.use.database.reading() as session:
        try:
            found = READS[name](session, caller, world)
        except Refused as no:
            return no
        if isinstance(found, live_urls.LiveUrls):
            return found.downloads
        return found.items if isinstance(found, Page) else found


def test_nothing_of_a_partner_is_read_for_another(sqlite_world: World) -> None:
    """Staff find it; another partner finds nothing or is refused, and so does nobody."""
    issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), sqlite_world.order())
    other, admin, nobody = sqlite_world.person("uncleared"), sqlite_world.admin, Caller(via="anonymous")
    for name in READS:
        theirs = read(sqlite_world, admin, name)
        assert theirs, name
        assert not isinstance(theirs, Refused), name
        nothing = read(sqlite_world, other, name)
        assert not nothing or isinstance(nothing, NotFound | NotPermitted), name
        nothing = read(sqlite_world, nobody, name)
        assert not nothing or isinstance(nothing, Refused), name


def test_the_lists_of_ones_own_are_ones_own(sqlite_world: World) -> None:
    """Whoever asks: staff too, who may see everybody's elsewhere."""
    admin, cleared = sqlite_world.admin, sqlite_world.person("cleared")
    with sqlite_world.use.database.reading() as session:
        assert {token.person_id for token in tokens.own(session, cleared, ALL).items} == {cleared.person_id}
        assert {token.person_id for token in tokens.own(session, admin, ALL).items} <= {admin.person_id}
        assert {one.organization_id for one in clearances.own(session, cleared, ALL).items} == {cleared.organization_id}
        assert clearances.own(session, admin, ALL).items == []
        assert [one.slug for one in organizations.partners(session, cleared, 50)] == ["aurora-institute"]
        assert len(organizations.partners(session, admin, 50)) > 1
