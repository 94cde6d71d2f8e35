"""Findings: list, show, triage."""

from typing import Any, TextIO

import click

from server.cli.terminal import LARGE_COUNT, Instance, acting, show, show_list, show_one, with_json
from server.domain.callers import Caller
from server.domain.paging import every
from server.domain.release import finding_erasure, finding_triage, findings, stages
from server.domain.release.finding_words import FindingState, Severity
from server.domain.release.findings import Finding, FindingFilter

COLUMNS = ("id", "state", "severity", "kind", "stage", "organization", "reported_at", "title")


@click.group()
def finding() -> None:
    """Read and triage what partners report."""


@finding.command("list")
@click.argument("stage", required=False)
@with_json
@acting
def list_all(instance: Instance, caller: Caller, stage: str | None, as_json: bool) -> None:
    """List all findings, newest first, or those on STAGE."""
    with instance.use.database.reading() as session:
        which = FindingFilter(stage_id=None if stage is None else stages.find(session, caller, stage).id)
        found = every(lambda part: findings.visible(session, caller, part, which))
        known = [_known(caller, one) for one in found]
    show_list(as_json, COLUMNS, [[one[name] for name in COLUMNS] for one in known])


@finding.command("show")
@click.argument("finding_id", metavar="ID", type=LARGE_COUNT)
@with_json
@acting
def show_finding(instance: Instance, caller: Caller, finding_id: int, as_json: bool) -> None:
    """Show a finding with its text and the lab's answer."""
    with instance.use.database.reading() as session:
        found = findings.get(session, caller, finding_id)
        known = _known(caller, found) | {
            "checkpoint": found.checkpoint_id, "may_publish": found.may_publish, "may_name": found.may_name,
            "embargo_until": None if found.embargo_until is None else str(found.embargo_until),
        }  # fmt: skip
        if findings.is_own(caller, found):
            known |= {
                "reported_by": found.reporter.email, "triaged_at": found.triaged_at, "answered_at": found.answered_at,
                "answer": found.answer,
            }  # fmt: skip
    show_one(as_json, known | {"text": found.text})


@finding.command()
@click.argument("finding_id", metavar="ID", type=LARGE_COUNT)
@click.option(
    "--state", required=True, type=click.Choice([str(state) for state in FindingState]), help="The new state."
)
@click.option("--severity", type=click.Choice([str(one) for one in Severity]), help="How bad it is [unchanged].")
@click.option("--answer-file", type=click.File(encoding="utf-8"), help="An answer for its reporter, in Markdown.")
@with_json
@acting
def triage(
    instance: Instance, caller: Caller, finding_id: int, state: str, severity: str | None, answer_file: TextIO | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Move a finding on, and answer it. Its reporter gets an email."""
    words = None if answer_file is None else _read(answer_file)
    made = finding_triage.triage(
        instance.use, caller, finding_id, FindingState(state), Severity(severity) if severity else None, words
    )
    sentence = f"Finding {finding_id} is {finding_triage.WORDS[FindingState(state)]}, with severity {made.severity}."
    body = {"id": finding_id, "state": str(made.state), "severity": str(made.severity), "answered": words is not None}
    show(as_json, body, sentence)


@finding.command()
@click.argument("finding_id", metavar="ID", type=LARGE_COUNT)
@click.option("--because", required=True, help="The reason, recorded in the log. Do not name the person in it.")
@with_json
@acting
def erase(instance: Instance, caller: Caller, finding_id: int, because: str, as_json: bool) -> None:
    """Erase a finding's words and files where the law requires it. That it was reported stays in the log."""
    finding_erasure.erase(instance.use, caller, finding_id, because)
    show(as_json, {"id": finding_id, "erased": True}, f"The words and files of finding {finding_id} have been erased.")


def _read(file: TextIO) -> str:
    try:
        return file.read(4 * findings.TEXT_CHARACTERS_AT_MOST)  # what is longer is refused with the bound
    except UnicodeDecodeError:
        raise click.BadParameter("The file is not UTF-8.", param_hint="--answer-file") from None


def _known(caller: Caller, found: Finding) -> dict[str, Any]:
    organization = findings.whose(caller, found)
    return {
        "id": found.id, "state": str(found.state), "severity": str(found.severity), "kind": str(found.kind),
        "stage": found.stage.full_name, "organization": None if organization is None else organization.slug,
        "reported_at": found.reported_at, "title": found.title,
    }  # fmt: skip


COMMANDS = [finding]
