"""What commands share: what they take from their machine, their options, and how they end."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from weightgate import credentials
from weightgate.client import Client
from weightgate.http import Server
from weightgate.verdicts import Ended, Verdict

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a command takes from its machine."""

    environment: Mapping[str, str]
    clock: Callable[[], float]
    pause: Callable[[float], None] = time.sleep


def with_server(command: Command) -> Command:
    """The options that say which server is asked, and by whom."""
    for option in (
        click.option("--ca", metavar="FILE", type=click.Path(), help="Certificates to trust (PEM) [SSL_CERT_FILE]."),
        click.option(
            "--token-file", metavar="FILE", type=click.Path(), help="A file that contains the token [WEIGHTGATE_TOKEN]."
        ),
        click.option(
            "--endpoint",
            metavar="URL",
            envvar="WEIGHTGATE_ENDPOINT",
            help="The server's address [WEIGHTGATE_ENDPOINT, or the newest login's].",
        ),
    ):
        command = option(command)
    return command


def client_of(around: Surroundings, endpoint: str | None, token_file: str | None, ca: str | None) -> Client:
    """The client that the options describe. A token file wins over the environment, that over `login`."""
    token = None if token_file is None else credentials.read_token_file(Path(token_file))
    return Client(endpoint, token, ca=ca, environment=around.environment, clock=around.clock)


def server_of(around: Surroundings, endpoint: str | None, token_file: str | None, ca: str | None = None) -> Server:
    return client_of(around, endpoint, token_file, ca).server()


def end(ended: Ended, *, as_json: bool = False) -> int:
    """Say how a command ended, on the stream where it is looked for; return the exit code."""
    verdict = ended.verdict
    if as_json:
        click.echo(json.dumps(fields_of(verdict)))
    else:
        click.echo(as_line(verdict), err=True)
    return verdict.exit_code


def fields_of(verdict: Verdict) -> dict[str, Any]:
    return {
        "event": "end", "result": str(verdict.result), "code": verdict.code, "sentence": verdict.sentence,
        "next_step": verdict.next_step, "exit_code": int(verdict.exit_code),
    }  # fmt: skip


def as_line(verdict: Verdict) -> str:
    sentence = f"{verdict.sentence.rstrip('.')}. {verdict.next_step}"
    return f"{verdict.result}: {' '.join(sentence.split())}"
