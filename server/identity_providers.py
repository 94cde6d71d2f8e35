"""Identity providers as the settings name them: whose people each signs in, and what of its word is trusted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from server.addresses import require_https

AT_MOST = 20  # each is a button on the sign-in page
_SLUG = r"^[a-z0-9][a-z0-9-]{0,63}$"
# What a provider says of how somebody signed in with it: the claims `amr` and `acr` of OpenID Connect.
_Method = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]


class IdentityProvider(BaseModel):
    """An organization's own sign-in service, by OpenID Connect. Each key is explained in `config/example.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    name: str = Field(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]+$")
    issuer: str = Field(max_length=500)
    client_id: str = Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")
    client_secret_file: Path | None = None
    ca_file: Path | None = None
    organizations: tuple[Annotated[str, Field(pattern=_SLUG)], ...] = Field(min_length=1)
    second_factor_amr: tuple[_Method, ...] = ()
    second_factor_acr: tuple[_Method, ...] = ()
    only_way_in: bool = False
    on_sign_in_page: bool = True

    @field_validator("issuer")
    @classmethod
    def _issuer(cls, value: str) -> str:
        return require_url(value)

    @property
    def confirms_second_factor(self) -> bool:
        """Whether its word for a second factor can count."""
        return bool(self.second_factor_amr or self.second_factor_acr)

    def starting_at(self, folder: Path) -> "IdentityProvider":
        """The same, with paths that start at this folder."""
        files = {"client_secret_file": self.client_secret_file, "ca_file": self.ca_file}
        return self.model_copy(update={name: folder / path for name, path in files.items() if path is not None})


def require_url(value: str, *, query: bool = False) -> str:
    """Return a URL of a provider as it is. Raises ValueError unless it is https, or http on loopback, and bare."""
    require_https(
        value, write="write the exact issuer URL, such as https://login.example.org/realms/lab",
        risk="could sign in as anyone", query=query,
    )  # fmt: skip
    return value


def of_organization(providers: Sequence[IdentityProvider], slug: str) -> list[IdentityProvider]:
    """Those that sign in people of this organization."""
    return [one for one in providers if slug in one.organizations]


def only_way_in(providers: Sequence[IdentityProvider], slug: str) -> IdentityProvider | None:
    """The provider without which nobody of this organization signs in; None where passwords and passkeys do, too."""
    return next((one for one in of_organization(providers, slug) if one.only_way_in), None)
