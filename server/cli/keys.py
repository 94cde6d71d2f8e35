"""The instance's keys: show the public ones, rotate those of the log, the secret of S3 keys, and CloudFront's key."""

from datetime import timedelta
from pathlib import Path

import click

from server import dates
from server.cli.log import BECAUSE
from server.cli.terminal import Instance, acting, show, with_json
from server.domain.audit import logs, rotation, rotation_permits
from server.domain.audit.rotation import Rotated
from server.domain.audit.rotation_permits import Terms
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotPossible
from server.storage import cloudfront_keys, s3_roots


@click.group()
def keys() -> None:
    """Show the public keys, and rotate those of log and receipts, the secret of S3 keys, or CloudFront's key."""


@keys.command("show")
@with_json
@click.pass_obj
def show_keys(instance: Instance, as_json: bool) -> None:
    """Show the public keys of this log, of earlier logs, and of the manifests. Publish them elsewhere, too."""
    with instance.use.database.reading() as session:
        known = logs.newest_first(session)
    named = [{"origin": log.origin, "log_vkey": log.vkey, "receipt_vkey": log.receipt_vkey} for log in known]
    pem = instance.use.manifest_public_key
    lines = [f"{name:<12}  {value}" for log in named for name, value in log.items()]
    body = {"logs": named, "manifest_public_key": pem}
    show(as_json, body, "\n".join([*lines, pem.rstrip()]))


@keys.command("propose-rotation")
@click.option("--abandon", is_flag=True, help="Abandon a log that cannot continue. Nothing more is sealed in it.")
@BECAUSE
@with_json
@acting
def propose_rotation(instance: Instance, caller: Caller, because: str, abandon: bool, as_json: bool) -> None:
    """Propose to close the log and to open the next one with new keys. Another admin approves it.

    Then, within 7 days, `keys rotate` does it.
    """
    waits = rotation_permits.propose(instance.use, caller, Terms(because, abandon))
    then = f"Nothing has changed yet. Another admin must approve it: `proposal approve {waits.id}`. Then `keys rotate`."
    show(as_json, {"proposal": waits.id, "state": waits.state, "next": then}, then)


@keys.command()
@click.option("--alone", is_flag=True, help="Without a second admin. Only if no other admin can approve it.")
@click.option("--abandon", is_flag=True, help="With --alone: abandon a log that cannot continue.")
@click.option("--because", metavar="TEXT", help="With --alone: the reason, recorded in the log.")
@with_json
@acting
def rotate(
    instance: Instance, caller: Caller, because: str | None, alone: bool, abandon: bool, as_json: bool
) -> None:  # fmt: skip
    """Close the log and open the next one with new keys, as two admins agreed (`keys propose-rotation`).

    If interrupted, run the same command again to finish. The old log stays readable under its name. The services need
    no restart.
    """
    if alone != (because is not None) or (abandon and not alone):
        raise click.UsageError("--alone needs --because, and without it the proposal says why.")
    done = rotation.rotate(instance.use, caller, None if because is None else Terms(because, abandon))
    body = {
        "origin": done.origin, "log_vkey": done.vkey, "receipt_vkey": done.receipt_vkey, "before": done.before,
        "finished": done.finished, "anchored": done.anchored,
    }  # fmt: skip
    show(as_json, body, _told(done))


@keys.command("rotate-s3")
@click.option("--prepare", is_flag=True, help="Only make the next secret, to copy it to the other machines first.")
@click.option("--now", "at_once", is_flag=True, help="Invalidate all issued keys immediately, for a leaked secret.")
@with_json
@click.pass_obj
def rotate_s3(instance: Instance, prepare: bool, at_once: bool, as_json: bool) -> None:
    """Make S3 tools' keys from a new secret. Keys already issued work until they expire.

    The web server needs no restart.
    On several machines: `--prepare` on one, copy s3.key.next to the others, then run this on each.
    """
    if prepare and at_once:
        raise click.UsageError("--prepare changes no key, so --now is for the second step.")
    made, at = instance.settings, instance.use.clock()
    if prepare:
        try:
            following = s3_roots.prepare(made.s3_key_file)
        except FileExistsError:
            raise NotPossible(
                "The next secret is there already.", next_step="Copy it, and run `keys rotate-s3`."
            ) from None
        told = f"Copy {following} to the other machines, then run `keys rotate-s3` on each."
        show(as_json, {"prepared": str(following), "rotated": False, "old_keys_until": None}, told)
        return
    until = None if at_once else at + timedelta(seconds=made.s3_key_lifetime_seconds)
    s3_roots.rotate(made.s3_key_file, at, until)
    ends = "do not work any more" if until is None else f"work until {dates.minute(until)} at the latest"
    when = (
        "now: until then the S3 door refuses everything" if until is None else "when you can, before the next rotation"
    )
    body = {"prepared": None, "rotated": True, "old_keys_until": None if until is None else dates.rfc3339(until)}
    show(as_json, body, f"Keys for S3 tools are made from a new secret. Older ones {ends}. Restart the store {when}.")


@keys.command("rotate-cloudfront")
@click.option("--prepare", is_flag=True, help="Make the next key, and print its public half for CloudFront.")
@click.option("--rsa", is_flag=True, help="With --prepare: RSA with 2048 bits instead of ECDSA, which is faster.")
@click.option("--key-pair-id", metavar="ID", help="Sign with the next key, which CloudFront knows by this ID.")
@with_json
@click.pass_obj
def rotate_cloudfront(instance: Instance, prepare: bool, rsa: bool, key_pair_id: str | None, as_json: bool) -> None:
    """Make the key that signs CloudFront's URLs, or replace it, in two steps.

    First `--prepare`: give CloudFront the public key that it prints, and add that key to the key group. Then
    `--key-pair-id ID`, with the ID that CloudFront gave it. The web server needs no restart.
    """
    if prepare == (key_pair_id is not None) or (rsa and not prepare):
        raise click.UsageError("Use --prepare first, and then --key-pair-id; --rsa goes with --prepare.")
    path, at = instance.settings.cloudfront_key_file, instance.use.clock()
    if key_pair_id is None:
        _prepare_cloudfront(path, "rsa" if rsa else "ecdsa", as_json)
        return
    try:
        before = cloudfront_keys.take(path, key_pair_id)
    except ValueError as error:
        raise InvalidRequest(f"{key_pair_id}: {error}.") from None
    until = None if before is None else at + timedelta(seconds=instance.settings.url_lifetime_seconds)
    body = {"key_pair_id": key_pair_id, "before": before, "before_works_until": until and dates.rfc3339(until)}
    told = f"URLs are signed with {key_pair_id} now. Copy {path} to the other machines."
    if until is not None:
        told += (
            f" Those signed with {before} work until {dates.minute(until)} at the latest: then remove {before} from "
            "the key group. If it leaked, remove it now: all of them fail within minutes."
        )
    show(as_json, body, told)


def _prepare_cloudfront(path: Path, kind: cloudfront_keys.Kind, as_json: bool) -> None:
    try:
        following, public = cloudfront_keys.prepare(path, kind)
        told = (
            f"\n{following} signs nothing yet. Give CloudFront this public key, add it to the key group, wait until "
            "the distribution is deployed, and run `keys rotate-cloudfront --key-pair-id ID`."
        )
    except FileExistsError:
        following, public = path.with_name(f"{path.name}.next"), cloudfront_keys.prepared(path) or ""
        told = f"\n{following} was there already; this is its public key."
    show(as_json, {"prepared": str(following), "public_key": public}, f"{public.rstrip()}{told}")


def _told(done: Rotated) -> str:
    begun = "Finished an interrupted rotation: e" if done.finished else "E"
    lines = [f"{begun}ntries go to {done.origin} now, after {done.before}.", f"log_vkey      {done.vkey}"]
    lines.append(f"receipt_vkey  {done.receipt_vkey}")
    if done.anchored is False:
        lines.append("The store did not accept the anchors. The worker tries again every minute.")
    return "\n".join(lines)


COMMANDS = [keys]
