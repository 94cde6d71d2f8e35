"""Where the records of archived months are read from: two options, for every command that reads records."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from server.cli.terminal import Instance
from server.domain.audit import months
from server.domain.audit.archives import InBucket, InFolder, Source

OpenSource = Callable[[Instance], Source | None]


def with_source(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `source`, which it calls with the instance once it is there."""

    @click.option(
        "--months", "copy", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER",
        help="Read the records of archived months from FOLDER, a copy of the folder that log_months names.",
    )  # fmt: skip
    @click.option("--from-bucket", is_flag=True, help="Read them from log_months itself, with its key.")
    @wraps(command)
    def with_options(*arguments: Any, copy: Path | None, from_bucket: bool, **more: Any) -> Any:
        if copy is not None and from_bucket:
            raise click.UsageError("Use either --months or --from-bucket.")
        return command(*arguments, source=lambda instance: _opened(instance, copy, from_bucket), **more)

    return with_options


def _opened(instance: Instance, copy: Path | None, from_bucket: bool) -> Source | None:
    if copy is None and not from_bucket:
        return None
    months.require_parquet()
    if copy is not None:
        return InFolder(copy)
    if instance.use.log_months is None:
        raise click.UsageError("The settings have no log_months: use --months FOLDER.")
    return InBucket(instance.use.log_months)
