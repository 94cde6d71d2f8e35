"""Begin an instance: settings, keys, schema, bucket, and the first two admins."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from server.cli import instance as making
from server.cli.terminal import Instance, console
from server.domain.errors import NotPossible
from server.domain.identity import email_addresses, people
from server.domain.operation import bootstrap
from server.domain.operation.bootstrap import FirstAdmin
from server.domain.resources import Resources
from server.settings import FILE_NAME, Settings, SettingsError
from server.storage import keys
from server.storage.database import DatabaseUnavailable
from server.storage.embedded import PACKAGES, EmbeddedStore, free_port, require_installed

PORT_BEHIND_PROXY = 8333  # on 127.0.0.1; deploy/nginx-store.conf names it, too


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
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with credentials that can only read.",
)
@click.option(
    "--publisher-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with credentials that can write.",
)
@click.option("--anchor-bucket", help="A separate bucket for the log's anchors. Strongly recommended.")
@click.option(
    "--anchor-key", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with credentials that can create, read and list objects in the anchor bucket.",
)  # fmt: skip
@click.option(
    "--listen", default="127.0.0.1:8080", show_default=True, help="The address and port the web server listens on."
)
@click.option(
    "--trusted-proxy", "trusted_proxies", multiple=True, metavar="NETWORK",
    help="The proxies whose X-Forwarded-For is trusted, such as 127.0.0.1/32 behind nginx.",
)  # fmt: skip
@click.pass_obj
def init(instance: Instance, /, **options: Any) -> None:
    """Create an instance in the data folder. Prints the admins' passwords once."""
    folder = instance.folder.absolute()
    _require_sensible(options)
    if (folder / FILE_NAME).exists() and _in_use(instance):
        raise NotPossible(f"{folder} already contains an instance.", next_step="Choose another folder with --data.")
    # From here to the first admins' commit, an interruption leaves what the same command takes up again.
    made = making.write_settings(folder, _settings(folder, options))
    try:
        making.write_keys(made)
        _prepare_store(folder, made, options)
        making.write_schema(made)
        admins = _begin(made, options)
    except BaseException:
        (folder / FILE_NAME).unlink()
        raise
    _print(made, admins)


def _require_sensible(options: dict[str, Any]) -> None:
    if ":" in (urlsplit(options["public_url"]).hostname or ""):
        raise click.UsageError(
            "--public-url: use a host name instead of an IPv6 address. Passkeys and the log's name need one."
        )
    if len({email_addresses.folded(admin) for admin in options["admins"]}) != 2 or len(options["admins"]) != 2:
        raise click.UsageError("Use --admin exactly twice, for two people: one alone could not approve anything.")
    keys_given = [options["signer_key"], options["publisher_key"]]
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
        raise click.UsageError("Add --signer-key and --publisher-key: JSON files with the store's credentials.")


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
        "log_host": urlsplit(options["public_url"]).hostname,
        "database_url": options["database_url"],
        "embedded_store": embedded,
        "trusted_proxies": list(options["trusted_proxies"]),
        "s3_endpoint_url": (options["store_url"] or store.endpoint_url) if embedded else options["s3_endpoint_url"],
        "s3_region": options["s3_region"] or "us-east-1",
        "s3_bucket": options["bucket"],
        "s3_addressing": "path" if embedded else options["s3_addressing"],
        "signer_key_file": str(store.signer_key_file.relative_to(folder)) if embedded else None,
        "publisher_key_file": str(store.publisher_key_file.relative_to(folder)) if embedded else None,
        "anchor_bucket": store.anchor_bucket if embedded else options["anchor_bucket"],
        "anchor_key_file": str(store.anchor_key_file.relative_to(folder)) if embedded else None,
    }


def _prepare_store(folder: Path, made: Settings, options: dict[str, Any]) -> None:
    """Make the bucket, or see that it is there and that the publisher's key opens it."""
    if made.embedded_store:
        with store_of(folder, made):
            return
    named = [("signer_key", made.signer_key_file), ("publisher_key", made.publisher_key_file)]
    if options["anchor_key"]:
        named.append(("anchor_key", made.anchor_key_file))
    for name, target in named:
        credentials = keys.read_s3_credentials(options[name])
        target.unlink(missing_ok=True)  # of an earlier try
        keys.write_s3_credentials(target, credentials)
    use = Resources(made)
    use.store.ensure_bucket()
    use.close()


def store_of(folder: Path, made: Settings) -> EmbeddedStore:
    """The embedded store of an instance, not yet started. Behind a proxy its address says nothing of its own port."""
    address = urlsplit(str(made.s3_endpoint_url))
    port = (address.port if address.scheme == "http" else None) or PORT_BEHIND_PROXY
    return EmbeddedStore(folder / "store", port, made.s3_bucket)


def _begin(made: Settings, options: dict[str, Any]) -> list[FirstAdmin]:
    admins = [FirstAdmin(email, email.partition("@")[0], people.new_password()) for email in options["admins"]]
    use = Resources(made).as_owner()  # the web's role opens no log
    try:
        return bootstrap.begin(use, options["lab"], options["lab_name"], admins)
    finally:
        use.close()


def _print(made: Settings, admins: list[FirstAdmin]) -> None:
    console.print(f"The instance in {made.folder} is ready.\n", markup=False)
    console.print("The first two admins. Their secrets are not shown again:", markup=False)
    for admin in admins:
        lines = f"  {admin.email}\n    password     {admin.password}\n    TOTP secret  {admin.totp_secret}"
        console.print(lines, markup=False)
    console.print("\nNext: `weightgate-server serve`, then `weightgate-server doctor`.", markup=False)


COMMANDS = [init]
