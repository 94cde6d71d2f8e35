"""Reporting a finding: one POST, and what came of it. What a finding is, the server says; here nothing is decided."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from weightgate.http import Response, Server, put
from weightgate.verdicts import CannotTell, ExitCode, WrongUse

PATH = "/api/v1/findings"
TEXT_BYTES_AT_MOST = 500_000  # ten times what the server takes: it says the bound, not we
FILE_BYTES_AT_MOST = 50_000_000
ANSWER_BYTES_AT_MOST = 2_000_000
KINDS = ("misuse", "capability", "bias", "detection", "safety", "security", "other", "nothing_found")
SEVERITIES = ("none", "low", "medium", "high", "critical")
_HELP = "`weightgate findings report --help` describes the command."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the server said. fields: its answer, a finding or a problem (RFC 9457)."""

    exit_code: ExitCode
    fields: dict[str, Any]

    @property
    def line(self) -> str:
        """The same for people."""
        said = {name: " ".join(str(value).split()) for name, value in self.fields.items()}
        if self.exit_code == ExitCode.PROVEN:
            return f"reported: finding {said['id']} on {said['stage']} is {said['state']}."
        return f"refused: {said.get('detail', 'the server gave no reason')} {said.get('next_step', '')}".rstrip()


def read_text(file: BinaryIO) -> str:
    """Return the report's Markdown. Raises WrongUse for what is no text, or far too much of it."""
    content = file.read(TEXT_BYTES_AT_MOST + 1)
    if len(content) > TEXT_BYTES_AT_MOST:
        raise WrongUse("text_too_long", f"The text is larger than {TEXT_BYTES_AT_MOST} bytes.", "Shorten the text.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise WrongUse("not_text", "The text is not UTF-8.", _HELP) from None


def report(server: Server, given: dict[str, Any]) -> Outcome:
    """Send a report. Raises CannotTell when there is no answer, or none that could be the server's."""
    if server.token is None:
        raise WrongUse("no_token", "A report needs a token.", "Use --token-file, or set WEIGHTGATE_TOKEN.")
    response = server.post(PATH, json.dumps(given).encode(), ANSWER_BYTES_AT_MOST)
    fields = _fields(response)
    if response.status == 201 and {"id", "stage", "state"} <= fields.keys():
        return Outcome(ExitCode.PROVEN, fields)
    if 400 <= response.status < 500 and "detail" in fields:
        return Outcome(ExitCode.REFUTED, fields)
    raise CannotTell(
        "no_answer",
        f"The server did not say what became of the report (HTTP {response.status}).",
        "Run the same command again: within a minute, the server keeps the same report only once.",
    )


def attach(server: Server, finding: int, file: Path) -> Outcome | None:
    """Attach a file to a finding; return the server's refusal, if there is one. The bytes go to its store."""
    content = _content(file)
    told = {"name": file.name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    slot = _asked(server, f"{PATH}/{finding}/attachments", told)
    if slot.exit_code == ExitCode.REFUTED:
        return slot
    try:
        url, number = str(slot.fields["url"]), int(slot.fields["id"])
        headers = {str(name): str(value) for name, value in slot.fields["headers"].items()}
    except (KeyError, AttributeError, TypeError, ValueError):
        raise CannotTell("no_answer", "The server did not say where to send the file.") from None
    put(url, headers, content, server.ca)
    done = _asked(server, f"{PATH}/{finding}/attachments/{number}/complete", {})
    return done if done.exit_code == ExitCode.REFUTED else None


def _asked(server: Server, path: str, given: dict[str, Any]) -> Outcome:
    response = server.post(path, json.dumps(given).encode(), ANSWER_BYTES_AT_MOST)
    fields = _fields(response)
    if response.status in {200, 201} and fields:
        return Outcome(ExitCode.PROVEN, fields)
    if 400 <= response.status < 500 and "detail" in fields:
        return Outcome(ExitCode.REFUTED, fields)
    raise CannotTell("no_answer", f"The server did not say what became of the file (HTTP {response.status}).")


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(FILE_BYTES_AT_MOST + 1)
    except OSError as error:
        raise WrongUse("unreadable", f"Cannot read {file}: {error.strerror}.", _HELP) from None
    if len(content) > FILE_BYTES_AT_MOST:
        raise WrongUse("file_too_large", f"{file} is larger than {FILE_BYTES_AT_MOST} bytes.", "Attach a part of it.")
    return content


def _fields(response: Response) -> dict[str, Any]:
    try:
        fields = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
