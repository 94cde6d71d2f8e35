"""Agreements: publish a version, record a signature, end one, list."""

import hashlib
from datetime import datetime
from pathlib import Path

import click

from server.cli.terminal import COUNT, LARGE_COUNT, READABLE, Instance, acting, plain, show, show_list, with_json
from server.domain.access import signatures
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest
from server.domain.paging import every
from server.domain.release import agreements


@click.group()
def agreement() -> None:
    """Manage agreements and their signatures."""


@agreement.command()
@click.argument("name")
@click.argument("file", type=READABLE)
@click.option(
    "--resign-within",
    type=click.IntRange(0),
    metavar="DAYS",
    default=0,
    help="How many days signatures of the version before still count [0].",
)
@with_json
@acting
def publish(instance: Instance, caller: Caller, name: str, file: Path, resign_within: int, as_json: bool) -> None:
    """Publish FILE as the current version of the agreement NAME. Every partner must sign it again."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest(f"{file} is not UTF-8 text.") from None
    version = agreements.publish(instance.use, caller, name, text, resign_within_days=resign_within)
    until = version.resign_until
    body = {"name": name, "number": version.number, "sha256": version.sha256, "resign_until": plain(until)}
    then = "" if until is None else f" Signatures of version {version.number - 1} count until {plain(until)}."
    show(as_json, body, f"{name} is now at version {version.number}, sha256 {version.sha256}.{then}")


@agreement.command("record-signature")
@click.argument("organization")
@click.argument("name")
@click.option("--signer-name", required=True, help="The signing officer.")
@click.option("--signer-title", required=True, help="Their title.")
@click.option(
    "--signed-on", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The date it was signed, such as 2026-11-30."
)
@click.option("--document", type=READABLE, help="The signed document.")
@click.option("--document-sha256", help="Its SHA-256, instead of the file.")
@click.option("--version", "number", type=COUNT, help="The version that was signed [current version].")
@click.option(
    "--before-publication", is_flag=True, help="Accept a signature dated before this version was published here."
)
@with_json
@acting
def record_signature(
    instance: Instance,
    caller: Caller,
    organization: str,
    name: str,
    signer_name: str,
    signer_title: str,
    signed_on: datetime,
    document: Path | None,
    document_sha256: str | None,
    number: int | None,
    before_publication: bool,
    as_json: bool,
) -> None:
    """Record and countersign ORGANIZATION's signature of the agreement NAME."""
    if (document is None) == (document_sha256 is None):
        raise click.UsageError("Use either --document or --document-sha256.")
    if document is not None:
        document_sha256 = hashlib.sha256(document.read_bytes()).hexdigest()
    signature = signatures.record(
        instance.use,
        caller,
        organization,
        name,
        signer_name=signer_name,
        signer_title=signer_title,
        signed_on=signed_on.date(),
        before_publication=before_publication,
        document_sha256=str(document_sha256),
        number=number,
    )
    show(as_json, {"id": signature.id}, f"Signature {signature.id} of {organization} is in force.")


@agreement.command("end-signature")
@click.argument("signature_id", type=LARGE_COUNT)
@with_json
@acting
def end_signature(instance: Instance, caller: Caller, signature_id: int, as_json: bool) -> None:
    """End a signature. The agreement counts as unsigned from then on."""
    signatures.end(instance.use, caller, signature_id)
    show(as_json, {"id": signature_id, "ended": True}, f"Signature {signature_id} has ended.")


@agreement.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:
    """List the agreements and the signatures you can see."""
    with instance.use.database.reading() as session:
        current = every(lambda part: agreements.current(session, part))
        signed = signatures.of_agreements(session, caller, [key for key, _, _ in current])
        names = {key: found.name for key, found, _ in current}
        rows: list[tuple[object, ...]] = [
            (
                names[s.agreement_id], s.version.number, s.id, s.organization.slug, s.signer_name, str(s.signed_on),
                s.ended_at,
            )
            for s in signed
        ]  # fmt: skip
        unsigned = names.keys() - {s.agreement_id for s in signed}
        rows += [(a.name, v.number, None, None, None, None, None) for key, a, v in current if key in unsigned]
    columns = ("agreement", "version", "signature", "organization", "signer", "signed_on", "ended_at")
    show_list(as_json, columns, rows)


COMMANDS = [agreement]
