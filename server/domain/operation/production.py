"""Production: what an instance that people rely on must not be: a demo, on one machine's word, or without a way back.

The check-up tries whether an instance works. This asks whether it may be relied on; each fault says what to do.
"""

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from urllib.parse import urlsplit

from sqlalchemy import func, or_, select, text

from server import dates
from server.domain.audit import logs
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.operation import nodes
from server.domain.operation.door_probes import Wrong
from server.domain.resources import Resources
from server.settings import FILE_NAME, is_loopback
from server.storage.database import Moment

ANCHORED_WITHIN = timedelta(hours=1)
CLOCKS_DIFFER_AT_MOST = timedelta(seconds=5)
POSTGRESQL_AT_LEAST = 16
BACKED_UP_WITHIN = timedelta(days=2)
DEMO = "demo.json"
DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
EXAMPLES = (".example", ".test", ".invalid", ".localhost", "example.org", "example.com", "example.net")


def demo(use: Resources) -> str:
    """Nobody's password stands in a file, and no address is one of an example."""
    if (use.settings.folder / DEMO).exists():
        raise Wrong(f"this folder is a demo's, whose passwords and tokens are in {DEMO}: make an instance with `init`")
    with use.database.reading() as session:
        known = session.scalars(select(Person.email).where(Person.disabled_at.is_(None)))
        found = [email for email in known if email.endswith(EXAMPLES)]
    if found:
        raise Wrong(f"people have addresses of examples, such as {found[0]}: disable them (`person disable`)")
    return "no demo, and nobody of an example"


def addresses(use: Resources) -> str:
    """Partners reach the server and the store, over TLS, and someone by the contact address."""
    made, wrong = use.settings, []
    if not made.public_url.startswith("https://"):
        wrong.append("public_url is not https: put nginx with TLS in front, and set the address that partners use")
    if is_loopback(urlsplit(made.public_url).hostname or ""):
        wrong.append("public_url leads to this machine alone: set the address that partners use")
    endpoint = urlsplit(made.s3_endpoint_url or "https://aws")
    if endpoint.scheme != "https" or is_loopback(endpoint.hostname or ""):
        where = "the embedded store" if made.embedded_store else "the store"
        wrong.append(f"{where} is at {made.s3_endpoint_url}, where no partner reaches it: see `nginx and TLS`")
    if made.contact.endswith(EXAMPLES):
        wrong.append(f"contact is {made.contact}, an example: set an address that someone reads")
    if wrong:
        raise Wrong(*wrong)
    return "server and store are reached over TLS"


def accounts(use: Resources) -> str:
    """Everyone signs in with a second factor that nobody else has seen."""
    handed = or_(Person.password_is_handed, Person.app_is_handed)
    query = select(Person.email).join(Organization, Organization.id == Person.organization_id)
    query = query.where(Organization.is_lab, handed, Person.disabled_at.is_(None))
    with use.database.reading() as session:
        found = session.scalars(query.order_by(Person.email)).all()
    if found:
        raise Wrong(f"others know the password or app of {', '.join(found)}: let them sign in and replace it")
    trusted = [one.id for one in use.settings.identity_providers if one.confirms_second_factor]
    more = f"; the word of {', '.join(trusted)} counts for one" if trusted else ""
    return f"a second factor is demanded of everyone{more}"


def database(use: Resources) -> str:
    """What was committed stays, whatever fails; and nobody's role can do everything."""
    machines = _machines(use)
    if use.database.dialect == "sqlite":
        if len(machines) > 1:
            raise Wrong(
                f"SQLite is used by {len(machines)} machines, which it cannot serve: run one machine only, "
                "or set up a new instance on PostgreSQL"
            )
        return "SQLite, on one machine"
    made, wrong = use.settings, []
    with use.database.reading() as session:
        off = [name for name in DURABLE if session.scalar(text(f"SHOW {name}")) == "off"]
        version = int(session.scalar(text("SHOW server_version_num")) or 0) // 10_000
        differ = abs(session.scalars(select(func.clock_timestamp(type_=Moment))).one() - use.clock())
    wrong += [
        f"{name} is off, so committed entries can be lost in a crash: turn it on in postgresql.conf" for name in off
    ]
    if version < POSTGRESQL_AT_LEAST:
        wrong.append(f"PostgreSQL {version} is not supported: update it to {POSTGRESQL_AT_LEAST} or newer")
    if differ > CLOCKS_DIFFER_AT_MOST:
        wrong.append(f"our clock and PostgreSQL's differ by {differ.total_seconds():.0f} s: run an NTP client on both")
    if made.sealer_database_url is None or made.migration_database_url is None:
        wrong.append(
            "one role does everything, so anyone who breaks into the web server can change the log's tables: set "
            "sealer_database_url and migration_database_url"
        )
    if wrong:
        raise Wrong(*wrong)
    return f"PostgreSQL {version} keeps what was committed, and each process has its own role"


def counting(use: Resources) -> str:
    """Attempts are counted by all web processes together."""
    if use.settings.redis_url is None and (use.settings.web_workers > 1 or len(_machines(use)) > 1):
        raise Wrong("several web processes count attempts separately: set redis_url, or web_workers = 1 on one machine")
    return "attempts are counted in one place"


def sending(use: Resources) -> str:
    """Invitations, resets and alarms reach people."""
    if use.settings.development_mails:
        raise Wrong("development_mails shows everyone's emails to anyone: remove it, and set smtp_url")
    if use.settings.smtp_url is None:
        raise Wrong("no email is sent, so alarms and invitations reach nobody: set smtp_url")
    return "emails are sent"


def anchoring(use: Resources) -> str:
    """The log's head is kept where the database's owner cannot reach, and was of late."""
    if use.anchor_bucket is None:
        raise Wrong("no anchors are kept, so an older backup in the log's place goes unnoticed: set anchor_bucket")
    with use.database.reading() as session:
        anchored = logs.anchored(session, logs.current(session))
    if anchored is None or anchored.anchored_at < use.clock() - ANCHORED_WITHIN:
        last = "never" if anchored is None else f"last on {dates.minute(anchored.anchored_at)}"
        raise Wrong(f"the log was anchored {last}: start the worker, and see what it says about `anchor`")
    made = use.settings
    with closing(use.protection_of(str(made.anchor_bucket), made.anchor_key_file)) as bucket:
        if bucket.locks_objects() is False:
            raise Wrong(f"{bucket.bucket} has no Object Lock, so anchors can be replaced: make one that has it")
    return "the log is anchored"


def versions(use: Resources) -> str:
    """What someone deletes or overwrites in the bucket can be had again, as far as the store tells."""
    if not use.settings.publisher_key_file.exists():
        return "not asked: run this on the machine that has the publisher's key"
    with closing(use.protection_of(use.settings.s3_bucket, use.settings.publisher_key_file)) as bucket:
        kept = bucket.keeps_versions()
    if kept is False:
        raise Wrong(f"{use.settings.s3_bucket} keeps no versions, so a deleted checkpoint is gone: turn on versioning")
    return "the store does not tell whether it keeps versions" if kept is None else "the bucket keeps versions"


def backed_up(use: Resources) -> str:
    """There is a way back, of late."""
    with use.database.reading() as session:
        last = nodes.backed_up_at(session)
    if last is None or last < use.clock() - BACKED_UP_WITHIN:
        when = "never backed up here" if last is None else f"last backed up on {dates.minute(last)}"
        raise Wrong(f"the instance was {when}: run `weightgate-server backup` each day (weightgate-daily@backup.timer)")
    return f"last backed up on {dates.minute(last)}"


def folder(use: Resources) -> str:
    """Nobody else on this machine reads the settings, and the program's messages are for operators."""
    made, wrong = use.settings, []
    for path in (made.folder, made.folder / FILE_NAME):
        if path.exists() and path.stat().st_mode & 0o077:
            wrong.append(f"{path} can be read by others on this machine: run `chmod go= {path}`")
    if made.logger_level == "debug":
        wrong.append('logger_level is "debug", which tells more than operators need: set "info"')
    if wrong:
        raise Wrong(*wrong)
    return "settings are private, and messages are those of operation"


def _machines(use: Resources) -> set[str]:
    with use.database.reading() as session:
        return {node.machine for node in nodes.seen(session, use)}


CHECKS: tuple[tuple[str, Callable[[Resources], str]], ...] = (
    ("demo", demo),
    ("addresses", addresses),
    ("accounts", accounts),
    ("durability", database),
    ("counting", counting),
    ("sending", sending),
    ("anchoring", anchoring),
    ("versions", versions),
    ("backup", backed_up),
    ("folder", folder),
)
OF_THE_DATABASE = frozenset({"demo", "accounts", "durability", "counting", "anchoring", "backup"})
OF_THE_STORE = frozenset({"versions"})
