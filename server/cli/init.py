"""Begin an instance: settings, keys, schema, bucket, and the first two admins."""

import contextlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from server.cli import instance as making
from server.cli.terminal import READABLE, Instance, show, with_json
from server.domain.errors import NotPossible
from server.domain.identity import email_addresses, people, s3_keys
from server.domain.operation import bootstrap
from server.domain.operation.bootstrap import FirstAdmin
from server.domain.resources import Resources
from server.log import anchors
from server.settings import FILE_NAME, Settings, SettingsError
from server.storage import keys
from server.storage.anchor_bucket import AnchorBucket
from server.storage.database import DatabaseUnavailable
from server.storage.embedded import PACKAGES, EmbeddedStore, free_port, require_installed
from server.storage.embedded_s3_door import S3Door
from server.storage.objects import ObjectStoreRefused

PORT_BEHIND_PROXY = 8333  # on 127.0.0.1; deploy/nginx-store.conf names it, too
UNITS = Path("/etc/systemd/system")


@click.command()
@click.option("--public-url", required=True, help="The server's public address, such as https://weights.example.org.")
@click.option("--contact", required=True, help="The contact address shown when a request is refused.")
@click.option("--lab", default="lab", show_default=True, help="The ID of your own organization.")
@click.option("--lab-name", required=True, help="Its full name.")
@click.option(
    "--admin", "admins", multiple=True, required=True, metavar="EMAIL", help="An admin. Use this option twice."
)
@click.option("--database-url", help="postgresql+psycopg://… [SQLite in the folder].")
@click.option("--bucket", default="weights", show_default=True, help="Created if it does not exist.")
@click.option("--s3-endpoint-url", help="The store's address. With --s3-region alone, AWS is used.")
@click.option("--s3-region", help="The bucket's region. Without endpoint and region, an embedded store is used.")
@click.option(
    "--s3-addressing", type=click.Choice(["virtual", "path"]), default="virtual", show_default=True,
    help="Where the bucket name goes: in the host name (as AWS expects) or in the path.",
)  # fmt: skip
@click.option("--store-url", help="The embedded store's public address behind your proxy [loopback].")
@click.option(
    "--signer-key",
    type=READABLE,
    help="JSON file with credentials that can only read.",
)
@click.option("--signer-role", is_flag=True, help="Use this machine's AWS role instead of --signer-key.")
@click.option(
    "--publisher-key",
    type=READABLE,
    help="JSON file with credentials that can write.",
)
@click.option(
    "--anchor-bucket",
    help="A separate bucket for the log's anchors, created if it does not exist. Strongly recommended.",
)
@click.option(
    "--anchor-key", type=READABLE,
    help="JSON file with credentials that can create, read and list objects in the anchor bucket.",
)  # fmt: skip
@click.option(
    "--listen", default="127.0.0.1:8080", show_default=True, help="The address and port the web server listens on."
)
@click.option(
    "--trusted-proxy", "trusted_proxies", multiple=True, metavar="NETWORK",
    help="The proxies whose X-Forwarded-For is trusted, such as 127.0.0.1/32 behind nginx.",
)  # fmt: skip
@with_json
@click.pass_obj
def init(instance: Instance, /, as_json: bool, **options: Any) -> None:
    """Create an instance in the data folder. Prints the admins' passwords once."""
    folder = instance.folder.absolute()
    _require_sensible(options)
    if (folder / FILE_NAME).exists() and _in_use(instance):
        raise NotPossible(f"{folder} already contains an instance.", next_step="Choose another folder with --data.")
    # From here to the first admins' commit, an interruption leaves what the same command takes up again.
    made = making.write_settings(folder, _settings(folder, options))
    try:
        making.write_keys(made)
        making.write_schema(made)
        _require_new_database(made)
        _prepare_store(folder, made, options)
        admins = _begin(made, options)
    except BaseException:
        (folder / FILE_NAME).unlink()
        raise
    _print(made, admins, as_json)


def _require_sensible(options: dict[str, Any]) -> None:
    if ":" in (urlsplit(options["public_url"]).hostname or ""):
        raise click.UsageError(
            "--public-url: use a host name instead of an IPv6 address. Passkeys and the log's name need one."
        )
    if len({email_addresses.folded(admin) for admin in options["admins"]}) != 2 or len(options["admins"]) != 2:
        raise click.UsageError("Use --admin exactly twice, for two people: one alone could not approve anything.")
    keys_given = [options["signer_key"] or options["signer_role"], options["publisher_key"]]
    if options["signer_key"] and options["signer_role"]:
        raise click.UsageError("Use either --signer-key or --signer-role.")
    if bool(options["anchor_bucket"]) != bool(options["anchor_key"]):
        raise click.UsageError("Use --anchor-bucket and --anchor-key together.")
    if _embedded(options):
        if any([*keys_given, options["anchor_key"]]):
            raise click.UsageError(
                "The embedded store creates its own keys. To use another store, add --s3-endpoint-url or --s3-region."
            )
        require_installed(*PACKAGES)
    elif options["store_url"] is not None:
        raise click.UsageError(
            "--store-url is for the embedded store only. Use either --store-url or the --s3-… options."
        )
    elif not all(keys_given):
        raise click.UsageError(
            "Add --signer-key and --publisher-key: JSON files with the store's credentials. On AWS, --signer-role "
            "replaces the first."
        )


def _embedded(options: dict[str, Any]) -> bool:
    return not options["s3_endpoint_url"] and not options["s3_region"]


def _in_use(instance: Instance) -> bool:
    """Whether the settings that lie there belong to an instance with people in it, as far as can be told."""
    try:
        use = Resources(instance.settings)
        try:
            return bootstrap.has_begun(use)
        finally:
            use.close()
            instance.__dict__.pop("settings", None)
    except (SettingsError, DatabaseUnavailable):
        return True


def _settings(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    embedded = _embedded(options)
    store = EmbeddedStore(folder / "store", free_port(), options["bucket"])
    return {
        "public_url": options["public_url"],
        "listen": options["listen"],
        "contact": options["contact"],
        "log_host": making.log_host(options["public_url"]),
        "database_url": options["database_url"],
        "embedded_store": embedded,
        "trusted_proxies": list(options["trusted_proxies"]),
        "s3_endpoint_url": (options["store_url"] or store.endpoint_url) if embedded else options["s3_endpoint_url"],
        "s3_region": options["s3_region"] or "us-east-1",
        "s3_bucket": options["bucket"],
        "s3_addressing": "path" if embedded else options["s3_addressing"],
        "signer_key_file": str(store.signer_key_file.relative_to(folder)) if embedded else None,
        "signer_credentials": "role" if options["signer_role"] else None,
        "publisher_key_file": str(store.publisher_key_file.relative_to(folder)) if embedded else None,
        "findings_key_file": str(store.findings_key_file.relative_to(folder)) if embedded else None,
        "uploads_key_file": str(store.uploads_key_file.relative_to(folder)) if embedded else None,
        "anchor_bucket": store.anchor_bucket if embedded else options["anchor_bucket"],
        "anchor_key_file": str(store.anchor_key_file.relative_to(folder)) if embedded else None,
    }


def _prepare_store(folder: Path, made: Settings, options: dict[str, Any]) -> None:
    """Make the buckets, or see that they are there and that their keys open them."""
    if made.embedded_store:
        with store_of(folder, made), contextlib.closing(Resources(made)) as use:
            use.claim_bucket()
        return
    named = [("publisher_key", made.publisher_key_file)]
    if options["signer_key"]:
        named.append(("signer_key", made.signer_key_file))
    if options["anchor_key"]:
        named.append(("anchor_key", made.anchor_key_file))
    for name, target in named:
        credentials = keys.read_s3_credentials(options[name])
        target.unlink(missing_ok=True)  # of an earlier try
        keys.write_s3_credentials(target, credentials)
    with contextlib.closing(Resources(made)) as use:
        use.store.ensure_bucket()
        use.claim_bucket()
        if use.anchor_bucket is not None:
            _ensure_anchor_bucket(use, use.anchor_bucket)


def _ensure_anchor_bucket(use: Resources, bucket: AnchorBucket) -> None:
    """Make it where there is none, and see that the anchors' own key opens it, which need not be able to make one."""
    try:
        bucket.ensure_bucket()
    except ObjectStoreRefused:
        with contextlib.closing(Resources(use.settings.model_copy(update={"s3_bucket": bucket.bucket}))) as publisher:
            publisher.store.ensure_bucket()
    anchors.require_readable(bucket)


def _require_new_database(made: Settings) -> None:
    """Before the store is touched: a bucket that bore the other instance's mark would be refused to the next try."""
    with contextlib.closing(Resources(made)) as use:
        if bootstrap.has_begun(use):
            raise NotPossible("This database has already been set up.", next_step="Name a new, empty database.")


def store_of(folder: Path, made: Settings) -> EmbeddedStore:
    """The embedded store of an instance, not yet started. Behind a proxy its address says nothing of its own port."""
    address = urlsplit(str(made.s3_endpoint_url))
    port = (address.port if address.scheme == "http" else None) or PORT_BEHIND_PROXY
    portal = urlsplit(made.public_url)
    door = _door(made) if made.s3_door == "proxy" else None
    return EmbeddedStore(folder / "store", port, made.s3_bucket, f"{portal.scheme}://{portal.netloc}", door)


def _door(made: Settings) -> S3Door:
    with contextlib.closing(Resources(made)) as use:
        return S3Door(
            port=made.s3_door_port,
            web=made.listen,
            store_host=urlsplit(str(made.s3_endpoint_url)).netloc,
            is_behind_proxy=str(made.s3_door_url).startswith("https://"),
            secret=s3_keys.door_secret(use),
        )


def _begin(made: Settings, options: dict[str, Any]) -> list[FirstAdmin]:
    admins = [FirstAdmin(email, email.partition("@")[0], people.new_password()) for email in options["admins"]]
    use = Resources(made).as_owner()  # the web's role opens no log
    try:
        return bootstrap.begin(use, options["lab"], options["lab_name"], admins)
    finally:
        use.close()


def _print(made: Settings, admins: list[FirstAdmin], as_json: bool) -> None:
    lines = [f"The instance in {made.folder} is ready.\n"]
    lines.append("The first two admins. Their secrets are not shown again:")
    for admin in admins:
        lines.append(f"  {admin.email}\n    password     {admin.password}\n    TOTP secret  {admin.totp_secret}")
    lines.append(f"\nNext: {next_step(made)}, then `weightgate-server doctor`.")
    secrets = [{"email": one.email, "password": one.password, "totp_secret": one.totp_secret} for one in admins]
    show(as_json, {"folder": str(made.folder), "admins": secrets}, "\n".join(lines))


def next_step(made: Settings, units: Path = UNITS) -> str:
    """What runs the new instance: the units, where deploy/README.md has been followed up to here; else `serve`."""
    if not (units / "weightgate-web.service").exists():
        return "`weightgate-server serve`"
    store = "weightgate-store " if made.embedded_store else ""
    return f"`systemctl enable --now {store}weightgate-web weightgate-worker`"


COMMANDS = [init]
