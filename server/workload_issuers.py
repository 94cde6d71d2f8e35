"""Workload issuers as the settings name them: who signs identity tokens of workloads, and how its keys are had."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from server.addresses import require_https

AT_MOST = 50


class WorkloadIssuer(BaseModel):
    """Who signs identity tokens of workloads. jwks_file: its keys, where it cannot be reached."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str = Field(max_length=500)
    jwks_file: Path | None = None
    ca_file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _alone(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        require_https(
            value, path="(/[A-Za-z0-9._~/-]*)?", risk="can pass off their keys as the issuer's",
            write="write the issuer as its tokens name it, such as https://token.actions.githubusercontent.com",
        )  # fmt: skip
        return value

    def starting_at(self, folder: Path) -> "WorkloadIssuer":
        """The same, with paths that start at this folder."""
        files = {"jwks_file": self.jwks_file, "ca_file": self.ca_file}
        return self.model_copy(update={name: folder / path for name, path in files.items() if path is not None})
