"""Checking the server's download log."""

import json
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any, BinaryIO

import click

from weightgate import state
from weightgate.cli.surroundings import Surroundings, as_line, end, server_of, with_server
from weightgate.log import answer, keys, memory, verification, witnesses
from weightgate.log.verification import Findings, Question
from weightgate.verdicts import Ended, Result, Verdict


@click.group("log")
def log_commands() -> None:
    """Check the server's download log."""


@log_commands.command("verify")
@click.argument("receipt", type=click.File("rb"))
@with_server
@click.option("--log-vkey", metavar="KEY", help="The log's key, if the lab gave it to you [remembered from first use].")
@click.option(
    "--receipt-vkey", metavar="KEY", help="The receipts' key, if the lab gave it to you [remembered from first use]."
)
@click.option(
    "--witness", "witness_vkeys", metavar="KEY", multiple=True,
    help="The key of an outside witness, from its operator. Repeatable [those that were demanded last].",
)  # fmt: skip
@click.option("--witnesses-required", metavar="K", type=int, help="How many of them must have cosigned the head [all].")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def verify_receipt(
    context: click.Context,
    receipt: BinaryIO,
    endpoint: str | None,
    token_file: str | None,
    ca: str | None,
    log_vkey: str | None,
    receipt_vkey: str | None,
    witness_vkeys: tuple[str, ...],
    witnesses_required: int | None,
    as_json: bool,
) -> None:
    """Verify RECEIPT, a saved response of POST /api/v1/downloads (- for standard input), against its log.

    Proven means: the receipt is genuine and for these files, its entry is in the log, and the log has only grown
    since this machine last saw it; with witnesses, also that they have seen the log with this entry.
    Exit code 0: proven, 1: refuted, 2: wrong use, 3: cannot tell yet.
    """
    around: Surroundings = context.obj
    found = Findings()
    try:
        question = Question(
            saved=answer.parse(receipt.read(answer.SIZE_BYTES_AT_MOST + 1)),
            server=server_of(around, endpoint, token_file, ca) if endpoint else None,
            given=keys.given(log_vkey, receipt_vkey),
            clock=around.clock,
            witnesses=witnesses.demanded(witness_vkeys, witnesses_required),
        )
        with memory.opened(state.folder(around.environment)) as remembered:
            verdict = verification.verify(question, remembered, found)
    except Ended as ended:
        verdict = ended.verdict
    click.echo(_as_json(verdict, found) if as_json else as_line(verdict), err=_goes_to_stderr(verdict, as_json))
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
        context.exit(end(ended))
    click.echo(f"{origin} has been forgotten.")


def _goes_to_stderr(verdict: Verdict, as_json: bool) -> bool:
    """A verdict is what the command was asked for, wrong use is not; a script that asked for JSON reads one stream."""
    return verdict.result is Result.WRONG_USE and not as_json


def _as_json(verdict: Verdict, found: Findings) -> str:
    fields: dict[str, Any] = asdict(verdict) | {"exit_code": int(verdict.exit_code)} | asdict(found)
    if found.promised_by is not None:
        promised = datetime.fromtimestamp(found.promised_by, timezone.utc)
        fields["promised_by"] = promised.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps(fields)
