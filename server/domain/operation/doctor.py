"""Check-up: does this instance really do what it promises? It tries, rather than trusting the settings."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import orjson
from sqlalchemy import select, text

from server import dates
from server.domain import marks
from server.domain.audit import log_status, sealer
from server.domain.entry_kinds import EntryKind
from server.domain.identity.organizations import Organization
from server.domain.mail import mails
from server.domain.marks import AnotherInstance
from server.domain.operation import (
    bootstrap,
    delivery_probes,
    door_probes,
    key_files,
    log_outlets,
    node_checks,
    production,
    witness_checks,
)
from server.domain.operation.door_probes import Wrong
from server.domain.operation.readiness import NotReady, require_ready
from server.domain.publish.manifests import ManifestError
from server.domain.resources import Resources
from server.log import condition
from server.log.anchors import BehindAnchor, Forked
from server.log.condition import LogUnsound
from server.log.entries import LogEntry
from server.storage import issuer_keys, probes
from server.storage.database import DATABASE_ERRORS, DatabaseUnavailable
from server.storage.issuer_keys import IssuerKeysUnavailable
from server.storage.keys import KeyFileError
from server.storage.mail import MailServerUnavailable
from server.storage.objects import ObjectStoreError, ObjectStoreRefused, ObjectStoreUnavailable
from server.storage.probes import ProbeFailed
from server.storage.provider_answers import ProviderUnavailable
from server.storage.signing import StoredObject
from server.storage.signing_check import SigningMismatch

NEWEST_DOWNLOADS = 50  # whose addresses are looked at
CLOCK_SKEW_SECONDS = 5  # more shortens or lengthens the life of URLs noticeably


FAILURES = (
    Wrong, KeyFileError, ObjectStoreError, DatabaseUnavailable, ProbeFailed, SigningMismatch, LogUnsound, BehindAnchor,
    Forked, MailServerUnavailable, NotReady, ManifestError, AnotherInstance,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    name: str
    ok: bool
    sentence: str


def examine(use: Resources, *, for_production: bool = False) -> Iterator[Check]:
    """Run every check, whatever the others found; but what does not answer is waited for, and told of, only once.

    for_production: also those of whether people may rely on it.
    """
    store_answers = database_answers = True
    for name, check in (*CHECKS, *(production.CHECKS if for_production else ())):
        if name in OF_THE_STORE and not store_answers:
            yield Check(name, False, "not checked: the store does not respond")
            continue
        if name in OF_THE_PUBLISHER and not key_files.publishes_here(use.settings):
            yield Check(name, True, "not tried: run `doctor` on the machine that has the publisher's key")
            continue
        if name in OF_THE_DATABASE and not database_answers:
            yield Check(name, False, "not checked: the database cannot be used")
            continue
        try:
            yield Check(name, True, check(use))
        except ObjectStoreUnavailable as error:
            store_answers = name == "anchors"  # whose bucket may have a host of its own
            yield Check(name, False, str(error))
        except FAILURES as error:
            database_answers = database_answers and name != "database"
            for sentence in error.args if isinstance(error, Wrong) else (str(error),):
                yield Check(name, False, sentence)


def _keys(use: Resources) -> str:
    """Every key file is there, readable by us alone, and a key."""
    if found := key_files.unusable(use.settings):
        raise Wrong(*found)
    if not key_files.publishes_here(use.settings):
        return "all key files are present, private, and hold keys; this machine has none for publishing"
    return "all key files are present, private, and hold keys"


def _matching_keys(use: Resources) -> str:
    """No key file is another instance's, or from before a rotation."""
    _require_begun(use)
    if found := key_files.foreign(use):
        raise Wrong(*found)
    return "the keys of log, receipts, manifests and one-time codes are those that the database was written with"


def require_database(use: Resources) -> str:
    """The database answers and can be written. Raises Wrong."""
    try:
        with use.database.transaction() as session:
            # SQLite has taken the writer's lock by now; PostgreSQL connects, and may be a replica.
            if use.database.dialect == "postgresql" and session.scalar(text("SHOW transaction_read_only")) == "on":
                raise Wrong("the database is read-only: set database_url to the primary")
    except DatabaseUnavailable as error:
        raise Wrong(str(error)) from None
    return f"{use.database.dialect} responds and accepts a transaction"


def _begun(use: Resources) -> str:
    if not bootstrap.has_begun(use):
        raise Wrong("there is no log yet: run `weightgate-server init`, or correct database_url")
    with use.database.reading() as session:
        log = condition.require_sound(session, use.clock())
    return f"the log {log.origin} is intact and sealed"


def _require_begun(use: Resources) -> None:
    """Nothing can be compared with an empty database, and what is wrong with it stands in its own line."""
    if not bootstrap.has_begun(use):
        raise Wrong("not compared: there is no log yet")


def _issuing(use: Resources) -> str:
    """What issuing needs, tried as `/readyz` tries it."""
    require_ready(use)
    return "an entry can be written, and there is room for more"


def _anchors(use: Resources) -> str:
    """The log is the one that was anchored, and its newest head can be anchored now."""
    if use.anchor_bucket is None:
        return "no anchors are kept, so restoring an older backup would go unnoticed: set anchor_bucket"
    sealing = use.as_sealer()  # the web's role could not stop the log
    try:
        sealer.anchor(sealing)
    except ObjectStoreError as error:
        raise type(error)(f"the log's head cannot be anchored in {use.settings.anchor_bucket}: {error}") from None
    finally:
        sealing.close()
    return f"the log matches the anchors in {use.settings.anchor_bucket}"


def _proxy(use: Resources) -> str:
    """Whoever serves https has a proxy in front: this server speaks plain HTTP."""
    made = use.settings
    if not made.public_url.startswith("https://"):
        return "not needed: this server is only reachable on loopback"
    if not made.trusted_proxies:
        raise Wrong("every request is logged with the proxy's address: add its network to trusted_proxies")
    missing, newest = _without_address(use)
    if missing:
        raise Wrong(
            f"{missing} of the newest {newest} downloads carry no client address: make the proxy send exactly one in "
            "X-Forwarded-For, as in deploy/nginx.conf"
        )
    return f"X-Forwarded-For is trusted from {', '.join(made.trusted_proxies)} only"


def _without_address(use: Resources) -> tuple[int, int]:
    """How many of the newest downloads were asked for over the web from nobody knows where, and how many there are."""
    query = select(LogEntry.record).where(LogEntry.kind == EntryKind.DOWNLOAD, LogEntry.record != b"")  # not the erased
    try:
        with use.database.reading() as session:
            records = session.scalars(query.order_by(LogEntry.id.desc()).limit(NEWEST_DOWNLOADS)).all()
    except (DatabaseUnavailable, *DATABASE_ERRORS):
        return 0, 0  # what is wrong with it stands in its own lines
    try:
        actors = [orjson.loads(record)["actor"] for record in records]
    except (ValueError, TypeError, KeyError):
        raise Wrong("a download's entry was changed and cannot be read: run `weightgate-server log verify`") from None
    return sum(actor["via"] != "cli" and "address" not in actor for actor in actors), len(actors)


def _mail(use: Resources) -> str:
    """The mail server lets us in; no mail is sent."""
    if use.settings.development_mails:
        return "no email is sent: /mails and the worker show it (development_mails is on)"
    server = mails.server_of(use.settings)
    if server is None:
        return f"no email is sent{_outbox(use)}, so invitations and resets reach nobody: set smtp_url"
    with server:
        server.check()
    return f"{server.name} accepts our sign-in{_outbox(use)}"


def _outbox(use: Resources) -> str:
    try:
        with use.database.reading() as session:
            wait, given_up = mails.waiting(session)
    except (DatabaseUnavailable, *DATABASE_ERRORS):
        return ""  # what is wrong with it stands in its own lines
    return f", {wait} waiting, {given_up} failed"


def _identity_providers(use: Resources) -> str:
    """Each provider publishes what signing in needs, has keys that can be used, and is for organizations that exist."""
    clients = use.identity_providers
    if not clients:
        return "none: people sign in with passwords and passkeys"
    wrong: list[str] = []
    for name, client in clients.items():
        try:
            client.published()
            client.keys()
        except ProviderUnavailable as error:
            wrong.append(f"{name}: {error}: check issuer {client.provider.issuer}, or the network from here to it")
    wrong += _unknown_organizations(use)
    if wrong:
        raise Wrong(*wrong)
    back = "; ".join(f"{name} sends people back to {client.redirect_uri}" for name, client in clients.items())
    return f"each can be asked and publishes usable keys; {back}"


def _unknown_organizations(use: Resources) -> list[str]:
    try:
        with use.database.reading() as session:
            known = set(session.scalars(select(Organization.slug)))
    except (DatabaseUnavailable, *DATABASE_ERRORS):
        return []  # what is wrong with it stands in its own lines
    return [
        f"{one.id}: there is no organization {slug}: correct its organizations"
        for one in use.settings.identity_providers
        for slug in one.organizations
        if slug not in known
    ]


def _reads(use: Resources) -> str:
    """Whether it is known what was really fetched."""
    if use.settings.embedded_store:
        return "the worker reads the embedded store's access log"
    if not bootstrap.has_begun(use):
        raise Wrong("not checked: there is no log yet")
    with use.database.reading() as session:
        at = log_status.reconciled_at(session)
    if at is None:
        return (
            "never reconciled, so what was fetched is unknown and leaked links raise no alarm: "
            "see `What was fetched` in deploy/README.md"
        )
    return f"the store's access log was last read on {dates.minute(at)}"


def _bucket(use: Resources) -> str:
    if not use.store.bucket_reachable():
        raise Wrong(f"the bucket {use.settings.s3_bucket} does not exist: create it, or correct s3_bucket")
    return f"bucket {use.settings.s3_bucket} is reachable with the publisher's key"


def _ownership(use: Resources) -> str:
    """Database and bucket are one instance's: neither is a copy's, nor another's by a mistake in the settings."""
    with use.database.reading() as session:
        if not marks.has_id(session):
            raise Wrong("the database has no instance ID yet: run `weightgate-server migrate`")
    if marks.is_marked(use.database, use.store):
        return "database and bucket bear the same instance ID"
    return "the bucket bears no instance ID yet, so another instance could use it too: run `weightgate-server migrate`"


def _clock(use: Resources) -> str:
    skew = (use.store.server_time() - use.clock()).total_seconds()
    if abs(skew) > CLOCK_SKEW_SECONDS:
        raise Wrong(f"this machine's clock and the store's differ by {skew:.0f} s: run an NTP client here")
    return "this machine's clock agrees with the store's"


def _signer_reads_only(use: Resources) -> str:
    """The key that the web holds cannot write, delete or list."""
    store = use.as_reader()
    with delivery_probes.probe(use) as key:
        attempts: list[tuple[str, Callable[[], object]]] = [
            ("write", lambda: store.put_bytes(f"{key}-written", b"x")),
            ("overwrite", lambda: store.put_bytes(key, b"x")),
            ("delete", lambda: store.delete(key)),
            ("list", lambda: store.list_keys(probes.PROBE_PREFIX)),
        ]
        for what, attempt in attempts:
            try:
                attempt()
            except ObjectStoreRefused:
                continue
            use.store.delete(f"{key}-written")
            raise Wrong(f"the signer's key can {what} objects: allow it only s3:GetObject on this bucket")
    return "the signer's key can read but not write, delete or list"


def _closed(use: Resources) -> str:
    with delivery_probes.probe(use) as key:
        plain = _signed(use, key).partition("?")[0]
        bucket = plain.removesuffix(key)
        for url, what in ((plain, "read an object"), (bucket, "list the bucket")):
            if probes.status_of(url) not in {401, 403}:
                raise Wrong(f"anyone can {what} without a signature: close public access to the bucket")
    return "nothing can be read or listed without a signature"


def _urls(use: Resources) -> str:
    with delivery_probes.probe(use) as key:
        good = _signed(use, key)
        if (status := probes.status_of(good)) != 200:
            raise Wrong(f"a new signed URL returns {status}: check the s3_… settings")
        last = "0" if good[-1] != "0" else "1"
        if probes.status_of(good[:-1] + last) == 200:
            raise Wrong("the store accepts a URL with an altered signature: it does not check signatures")
        if probes.status_of(_signed(use, key, age=timedelta(hours=1))) == 200:
            raise Wrong("the store accepts an expired URL: it does not check expiry")
    return "a signed URL works, and altered or expired ones are refused"


def _issuers(use: Resources) -> str:
    """Workloads can show identity tokens of each issuer: its keys can be had from here."""
    listed, away = use.settings.workload_issuers, list[str]()
    for issuer in listed:
        try:
            if issuer_keys.count(issuer) == 0:
                away.append(f"no identity token of {issuer.url} is accepted: it publishes no key")
        except IssuerKeysUnavailable as error:
            away.append(
                f"no identity token is accepted, because keys cannot be had: {error}; correct workload_issuers, or "
                "set its jwks_file"
            )
    if away:
        raise Wrong(*away)
    return f"issuers of identity tokens whose keys can be had: {len(listed)}"


def _signed(use: Resources, key: str, age: timedelta = timedelta(0)) -> str:
    signed_at = use.clock() - age
    (url,) = use.store_signer.sign([StoredObject(key)], download_id="doctor", lifetime_seconds=60, moment=signed_at)
    return url


CHECKS: tuple[tuple[str, Callable[[Resources], str]], ...] = (
    ("keys", _keys),
    ("database", require_database),
    ("log", _begun),
    ("matching keys", _matching_keys),
    ("issuing", _issuing),
    ("proxy", _proxy),
    ("mail", _mail),
    ("providers", _identity_providers),
    ("limits", node_checks.limits),
    ("fetches", _reads),
    ("bucket", _bucket),
    ("ownership", _ownership),
    ("anchors", _anchors),
    ("witnesses", witness_checks.cosign),
    ("clock", _clock),
    ("signer", _signer_reads_only),
    ("public access", _closed),
    ("signed URLs", _urls),
    ("CloudFront", delivery_probes.cloudfront),
    ("S3 door", door_probes.s3_door),
    ("S3 keys", door_probes.key_doors),
    ("registry", door_probes.oci_door),
    ("workloads", _issuers),
    ("nodes", node_checks.agree),
    ("log replica", node_checks.log_replica),
    ("log mirror", log_outlets.mirrored),
    ("log months", log_outlets.months_are_kept),
)
OF_THE_DATABASE = production.OF_THE_DATABASE | {
    "log", "matching keys", "issuing", "fetches", "ownership", "witnesses", "nodes", "log replica", "log mirror",
    "log months",
}  # fmt: skip
# What only a key that can write shows. `weightgate-server init` makes it; further machines need none.
OF_THE_PUBLISHER = frozenset({"bucket", "ownership", "clock", "signer", "public access", "signed URLs"})
OF_THE_STORE = OF_THE_PUBLISHER | {"anchors"} | production.OF_THE_STORE
