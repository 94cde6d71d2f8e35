"""The command line; the one place that turns a verdict into a line and an exit code."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import click
from click.exceptions import NoArgsIsHelpError

from weightgate import findings, state
from weightgate.http import Server
from weightgate.log import answer, keys, memory, verification
from weightgate.log.verification import Findings, Question
from weightgate.verdicts import CannotTell, Ended, Result, Verdict, WrongUse

_TOKEN_BYTES_AT_MOST = 4096


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a command takes from its machine."""

    environment: Mapping[str, str]
    clock: Callable[[], float]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def commands() -> None:
    """Work with a Weightgate server as a partner."""


@commands.group("log")
def log_commands() -> None:
    """Check the server's download log."""


@log_commands.command("verify")
@click.argument("receipt", type=click.File("rb"))
@click.option(
    "--endpoint", metavar="URL", envvar="WEIGHTGATE_ENDPOINT", help="The server's address [WEIGHTGATE_ENDPOINT]."
)
@click.option(
    "--token-file", metavar="FILE", type=click.Path(), help="A file that contains the token [WEIGHTGATE_TOKEN]."
)
@click.option("--log-vkey", metavar="KEY", help="The log's key, if the lab gave it to you [remembered from first use].")
@click.option(
    "--receipt-vkey", metavar="KEY", help="The receipts' key, if the lab gave it to you [remembered from first use]."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def verify_receipt(
    context: click.Context,
    receipt: BinaryIO,
    endpoint: str | None,
    token_file: str | None,
    log_vkey: str | None,
    receipt_vkey: str | None,
    as_json: bool,
) -> None:
    """Verify RECEIPT, a saved response of POST /api/v1/downloads (- for standard input), against its log.

    Proven means: the receipt is genuine and for these files, its entry is in the log, and the log has only grown
    since this machine last saw it. Exit code 0: proven, 1: refuted, 2: wrong use, 3: cannot tell yet.
    """
    around: Surroundings = context.obj
    found = Findings()
    try:
        question = Question(
            saved=answer.parse(receipt.read(answer.SIZE_BYTES_AT_MOST + 1)),
            server=Server(endpoint, _token(token_file, around.environment)) if endpoint else None,
            given=keys.given(log_vkey, receipt_vkey),
            clock=around.clock,
        )
        with memory.opened(state.folder(around.environment)) as remembered:
            verdict = verification.verify(question, remembered, found)
    except Ended as ended:
        verdict = ended.verdict
    click.echo(_as_json(verdict, found) if as_json else _as_line(verdict), err=_goes_to_stderr(verdict, as_json))
    context.exit(verdict.exit_code)


@log_commands.command()
@click.argument("origin", metavar="LOG")
@click.pass_context
def forget(context: click.Context, origin: str) -> None:
    """Forget the keys and the head of LOG, such as localhost/downloads/2026.

    After this, the client cannot notice that this log changed its keys or its history before now.
    """
    try:
        with memory.opened(state.folder(context.obj.environment)) as remembered:
            remembered.forget(origin)
    except Ended as ended:
        context.exit(_end(ended))
    click.echo(f"{origin} has been forgotten.")


@commands.group("findings")
def findings_commands() -> None:
    """Report to the lab what you found."""


@findings_commands.command("report")
@click.option(
    "--endpoint", metavar="URL", envvar="WEIGHTGATE_ENDPOINT", help="The server's address [WEIGHTGATE_ENDPOINT]."
)
@click.option(
    "--token-file", metavar="FILE", type=click.Path(), help="A file that contains the token [WEIGHTGATE_TOKEN]."
)
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
        server = _server(endpoint, token_file, context.obj)
        outcome = findings.report(server, told | {"text": findings.read_text(text_file)})
        is_refused = outcome.exit_code != 0
        click.echo(json.dumps(outcome.fields) if as_json else outcome.line, err=is_refused and not as_json)
        context.exit(outcome.exit_code if is_refused else _attach(server, outcome.fields["id"], files))
    except Ended as ended:
        context.exit(_end(ended))


@findings_commands.command("attach")
@click.option(
    "--endpoint", metavar="URL", envvar="WEIGHTGATE_ENDPOINT", help="The server's address [WEIGHTGATE_ENDPOINT]."
)
@click.option(
    "--token-file", metavar="FILE", type=click.Path(), help="A file that contains the token [WEIGHTGATE_TOKEN]."
)
@click.argument("number", type=click.IntRange(min=1))
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.pass_context
def attach_to_finding(
    context: click.Context, endpoint: str | None, token_file: str | None, number: int, files: tuple[Path, ...]
) -> None:
    """Attach each FILE to finding NUMBER of your organization.

    Exit code 0: attached, 1: refused, 2: wrong use, 3: cannot tell whether it arrived.
    """
    try:
        context.exit(_attach(_server(endpoint, token_file, context.obj), number, files))
    except Ended as ended:
        context.exit(_end(ended))


def run(arguments: Sequence[str], around: Surroundings) -> int:
    """Run one command; return its exit code. Whatever is wrong with the command itself is one line."""
    try:
        code = commands.main(list(arguments), prog_name="weightgate", standalone_mode=False, obj=around)
    except NoArgsIsHelpError as error:
        error.show()  # the whole help: who gives no command wants to read
        return error.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "weightgate"
        return _end(WrongUse("usage", error.format_message(), f"`{path} --help` describes it."))
    except click.ClickException as error:
        return _end(WrongUse("usage", error.format_message()))
    except (click.Abort, KeyboardInterrupt):
        return _end(CannotTell("stopped", "Interrupted."))
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command of this process and exit."""
    sys.exit(run(sys.argv[1:], Surroundings(os.environ, time.time)))


def _attach(server: Server, finding: int, files: Sequence[Path]) -> int:
    """Attach one file after the other; return the exit code. The first that is refused is the last that is tried."""
    for file in files:
        if (refused := findings.attach(server, finding, file)) is not None:
            click.echo(f"{file} was not attached: {refused.line}", err=True)
            return refused.exit_code
    return 0


def _server(endpoint: str | None, token_file: str | None, around: Surroundings) -> Server:
    if endpoint is None:
        raise WrongUse("no_endpoint", "Which server?", "Use --endpoint, or set WEIGHTGATE_ENDPOINT.")
    return Server(endpoint, _token(token_file, around.environment))


def _token(token_file: str | None, environment: Mapping[str, str]) -> str | None:
    if token_file is None:
        return environment.get("WEIGHTGATE_TOKEN", "").strip() or None
    try:
        with Path(token_file).open("rb") as file:
            return file.read(_TOKEN_BYTES_AT_MOST).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise WrongUse(
            "bad_token", f"Cannot read a token from {token_file}.", "Choose a file that contains a token."
        ) from None


def _end(ended: Ended) -> int:
    click.echo(_as_line(ended.verdict), err=True)
    return ended.verdict.exit_code


def _goes_to_stderr(verdict: Verdict, as_json: bool) -> bool:
    """A verdict is what the command was asked for, wrong use is not; a script that asked for JSON reads one stream."""
    return verdict.result is Result.WRONG_USE and not as_json


def _as_line(verdict: Verdict) -> str:
    sentence = f"{verdict.sentence.rstrip('.')}. {verdict.next_step}"
    return f"{verdict.result}: {' '.join(sentence.split())}"


def _as_json(verdict: Verdict, found: Findings) -> str:
    fields: dict[str, Any] = asdict(verdict) | {"exit_code": int(verdict.exit_code)} | asdict(found)
    if found.promised_by is not None:
        promised = datetime.fromtimestamp(found.promised_by, UTC)
        fields["promised_by"] = promised.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps(fields)
