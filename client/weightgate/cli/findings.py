"""Reporting to the lab what was found."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click

from weightgate import findings
from weightgate.cli.surroundings import end, server_of, with_server
from weightgate.http import Server
from weightgate.verdicts import Ended


@click.group("findings")
def findings_commands() -> None:
    """Report to the lab what you found."""


@findings_commands.command("report")
@with_server
@click.option("--stage", metavar="MODEL/STAGE", required=True, help="What it is about, such as gpt-2/774M.")
@click.option("--checkpoint", metavar="ID", help="Which checkpoint of it: its ID, or main.")
@click.option("--kind", type=click.Choice(findings.KINDS), required=True, help="What kind of finding it is.")
@click.option("--severity", type=click.Choice(findings.SEVERITIES), help="How bad it is; none for nothing_found.")
@click.option("--title", required=True, help="One line.")
@click.option("--text-file", type=click.File("rb"), required=True, help="Markdown; - for standard input.")
@click.option("--embargo-until", metavar="DAY", help="The first day on which others may be told, such as 2027-01-31.")
@click.option("--may-publish", is_flag=True, help="The lab may release it to other partners.")
@click.option("--may-name", is_flag=True, help="The lab may then say who reported it.")
@click.option(
    "--attach", "files", metavar="FILE", type=click.Path(path_type=Path), multiple=True, help="A file; up to five."
)
@click.option("--json", "as_json", is_flag=True, help="Print the server's answer.")
@click.pass_context
def report_finding(
    context: click.Context,
    /,
    endpoint: str | None,
    token_file: str | None,
    ca: str | None,
    as_json: bool,
    text_file: BinaryIO,
    files: tuple[Path, ...],
    **given: Any,
) -> None:
    """Report a finding on a stage that you have, or had, access to.

    "Nothing found, and what we did" is one as well: --kind nothing_found. Exit code 0: reported, 1: refused,
    2: wrong use, 3: cannot tell whether it arrived.
    """
    if given["severity"] is None and given["kind"] != "nothing_found":
        raise click.UsageError("Missing option '--severity'.", context)
    told = {name: value for name, value in given.items() if value is not None} | {
        "severity": given["severity"] or "none"
    }
    try:
        server = server_of(context.obj, endpoint, token_file, ca)
        outcome = findings.report(server, told | {"text": findings.read_text(text_file)})
        is_refused = outcome.exit_code != 0
        click.echo(json.dumps(outcome.fields) if as_json else outcome.line, err=is_refused and not as_json)
        context.exit(outcome.exit_code if is_refused else _attach(server, outcome.fields["id"], files))
    except Ended as ended:
        context.exit(end(ended))


@findings_commands.command("attach")
@with_server
@click.argument("number", type=click.IntRange(min=1))
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.pass_context
def attach_to_finding(context: click.Context, /, number: int, files: tuple[Path, ...], **where: Any) -> None:
    """Attach each FILE to finding NUMBER of your organization.

    Exit code 0: attached, 1: refused, 2: wrong use, 3: cannot tell whether it arrived.
    """
    try:
        context.exit(_attach(server_of(context.obj, **where), number, files))
    except Ended as ended:
        context.exit(end(ended))


def _attach(server: Server, finding: int, files: Sequence[Path]) -> int:
    """Attach one file after the other; return the exit code. The first that is refused is the last that is tried."""
    for file in files:
        if (refused := findings.attach(server, finding, file)) is not None:
            click.echo(f"{file} was not attached: {refused.line}", err=True)
            return refused.exit_code
    return 0
