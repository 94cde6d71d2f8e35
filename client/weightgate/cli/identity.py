"""The options by which a workload logs in as itself: where its identity token comes from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

from weightgate import workload
from weightgate.workload import Identity, Source

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the options say. trust: which trust record, where several match."""

    source: Source
    trust: str | None

    def told(self, environment: Mapping[str, str], endpoint: str) -> Identity:
        """This workload's identity. Raises WrongUse or CannotTell."""
        return Identity(workload.identity_token(self.source, environment, endpoint), self.trust)


def with_identity(command: Command) -> Command:
    """Give a command its `identity`: None unless one of these options is used."""

    @wraps(command)
    def told(
        *args: Any, oidc: bool, oidc_token_file: str | None, oidc_token_variable: str | None,
        oidc_audience: str | None, oidc_trust: str | None, **more: Any,
    ) -> Any:  # fmt: skip
        source = Source(oidc_token_file, oidc_token_variable, oidc_audience)
        used = oidc or source != Source() or oidc_trust is not None
        return command(*args, identity=Chosen(source, oidc_trust) if used else None, **more)

    for option in (
        click.option("--oidc-trust", metavar="NAME", help="ORGANIZATION/NUMBER, if several trust records match."),
        click.option("--oidc-audience", metavar="NAME", help="The audience to request from GitHub [the endpoint]."),
        click.option("--oidc-token-variable", metavar="NAME", help="A variable that contains it, such as GitLab's."),
        click.option("--oidc-token-file", metavar="FILE", type=click.Path(), help="A file that contains it."),
        click.option("--oidc", is_flag=True, help="Log in as a workload, with its identity token."),
    ):
        told = option(told)
    return told  # type: ignore[return-value]
