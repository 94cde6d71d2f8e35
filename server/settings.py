"""Settings: read once from TOML and WEIGHTGATE_* variables, typed, frozen. Anything doubtful stops the start."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from server import addresses, traces
from server.addresses import is_loopback as is_loopback  # of whoever looks at public_url
from server.addresses import origin, require_ascii_host
from server.identity_providers import AT_MOST as PROVIDERS_AT_MOST
from server.identity_providers import IdentityProvider
from server.mail_servers import mail_server
from server.settings_sources import FILE_NAME as FILE_NAME
from server.settings_sources import NOT_SETTINGS as NOT_SETTINGS
from server.settings_sources import PREFIX as PREFIX
from server.settings_sources import SettingsError as SettingsError
from server.settings_sources import from_environment, from_file, sentence
from server.witnesses import AT_MOST as WITNESSES_AT_MOST
from server.witnesses import Witness
from server.workload_issuers import AT_MOST as ISSUERS_AT_MOST
from server.workload_issuers import WorkloadIssuer

# Whoever sees a URL can use it for that long. No setting allows more, no signer signs for longer, and nothing looks
# further back for URLs that may still work.
URL_LIFETIME_SECONDS_AT_MOST = 900
CHAINED_SECONDS_AT_MOST = 3600  # one role's session of another (IAM User Guide, "Role chaining")


def _network(text: str) -> str:
    network = addresses.network(text)
    if network.prefixlen == 0:
        raise ValueError(
            "this range includes every address, so anyone could forge the address that is logged; list only your "
            "proxies"
        )
    return str(network)


def _host_name(text: str) -> str:
    require_ascii_host(text)
    if len(text) > 253 or not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", text):
        raise ValueError("write a host name in small letters, such as weights.example.org; an IPv6 address is none")
    return text


# One plain address: no name, no list, nothing that could begin a header or another command, encoded or not.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
MAIL_ADDRESS = re.compile(rf"(?=.{{1,254}}\Z)(?!.*=\?){_ATOM}(\.{_ATOM})*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")

Network = Annotated[str, AfterValidator(_network)]
BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"
PLACE = rf"{BUCKET[:-1]}(/[A-Za-z0-9._-]{{1,100}}){{0,8}}$"  # a bucket, and perhaps a folder in it
HostName = Annotated[str, AfterValidator(_host_name)]
_ROLE_LIKE = "arn:aws:iam::123456789012:role/downloads"
ROLE_ARN = re.compile(
    r"arn:aws[a-z-]{0,12}:iam::(?P<account>[A-Za-z0-9_-]{0,64}):role/([\w+=,.@-]{1,64}/){0,8}(?P<name>[\w+=,.@-]{1,64})",
    re.ASCII,
)


class Settings(BaseModel):
    """Every key of `config/example.toml`, in its order; meaning, unit and bounds stand there."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    folder: Path = Field(exclude=True)  # of the settings file; relative paths start here; not a key of the file

    public_url: str
    listen: str = "127.0.0.1:8080"
    web_workers: int = Field(default=2, ge=1, le=64)
    web_threads: int = Field(default=8, ge=1, le=64)
    web_keeps_cores: bool = True
    trusted_proxies: tuple[Network, ...] = ()
    contact: str = Field(min_length=3, max_length=200)
    security_contact: str | None = Field(
        default=None, max_length=300, pattern=r"^(mailto:[^\s@]+@[^\s@]+|https://[^\s/]+[^\s]*)$"
    )
    terms_url: str | None = Field(default=None, max_length=500, pattern=r"^https://[^\s]+$")
    logger_level: Literal["debug", "info", "warning", "error"] = "info"
    access_lines: bool = False
    metrics_listen: str | None = Field(default=None, validate_default=True)
    traces_endpoint: str | None = None
    traces_share: float = Field(default=1.0, gt=0, le=1)

    redis_url: str | None = Field(default=None, repr=False, pattern=r"^rediss?://[^\s/]+(/\d+)?$")

    database_url: str = Field(default="sqlite:///weightgate.sqlite3", repr=False)
    sealer_database_url: str | None = Field(default=None, repr=False)
    migration_database_url: str | None = Field(default=None, repr=False)
    log_replica_url: str | None = Field(default=None, repr=False)

    embedded_store: bool = False
    s3_endpoint_url: str | None = None
    s3_region: str = Field(default="us-east-1", pattern=r"^[a-z0-9-]{3,32}$")
    s3_bucket: str = Field(pattern=BUCKET)
    s3_addressing: Literal["virtual", "path"] = "virtual"
    anchor_bucket: str | None = Field(default=None, pattern=BUCKET)
    log_mirror: str | None = Field(default=None, pattern=PLACE)
    log_months: str | None = Field(default=None, pattern=PLACE)
    delivery: Literal["s3", "cloudfront"] = "s3"
    cloudfront_url: str | None = Field(default=None, validate_default=True)
    cloudfront_binds_address: bool = False

    signer_credentials: Literal["file", "role"] = "file"
    signer_key_file: Path = Path("keys/signer.json")
    publisher_key_file: Path = Path("keys/publisher.json")
    anchor_key_file: Path = Path("keys/anchor.json")
    log_mirror_key_file: Path = Path("keys/log-mirror.json")
    log_months_key_file: Path = Path("keys/log-months.json")
    findings_key_file: Path | None = None
    uploads_key_file: Path | None = None
    manifest_key_file: Path = Path("keys/manifest.key.pem")
    manifest_public_key_file: Path = Path("keys/manifest.pub.pem")
    secret_file: Path = Path("keys/secret")
    log_key_file: Path = Path("keys/log.key.pem")
    receipt_key_file: Path = Path("keys/receipt.key.pem")
    s3_key_file: Path = Path("keys/s3.key")
    sts_key_file: Path = Path("keys/sts.json")
    cloudfront_key_file: Path = Path("keys/cloudfront.json")

    s3_door: Literal["off", "proxy", "sts"] = "off"
    s3_door_url: str | None = Field(default=None, validate_default=True)
    s3_door_port: int = Field(default=8334, ge=1, le=65535)
    sts_role_arn: str | None = Field(default=None, validate_default=True)
    sts_endpoint_url: str | None = None
    url_sessions: bool = False
    s3_key_lifetime_seconds: int = Field(default=3600, ge=900, le=43200)
    container_credentials: bool = True
    web_identity_credentials: bool = True

    store_must_answer: bool = True
    url_lifetime_seconds: int = Field(default=300, ge=10, le=URL_LIFETIME_SECONDS_AT_MOST)
    public_stages_need_sign_in: bool = False
    public_releases: bool = True
    oci_door: bool = True
    sizes_before_access: bool = False
    card_before_access: bool = False
    second_person_tier: str = Field(default="research", pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    quota_alone_bytes_per_day: int = Field(default=10 * 2**40, ge=0, lt=2**53)
    upload_bytes_per_person: int = Field(default=2 * 2**40, ge=2**20, lt=2**53)
    token_lifetime_days: int = Field(default=90, ge=1, le=90)
    log_host: HostName
    witnesses: tuple[Witness, ...] = Field(default=(), max_length=WITNESSES_AT_MOST)

    workload_issuers: tuple[WorkloadIssuer, ...] = Field(default=(), max_length=ISSUERS_AT_MOST)

    smtp_url: str | None = None
    smtp_password_file: Path | None = Field(default=None, validate_default=True)
    mail_from: str | None = Field(default=None, validate_default=True)
    development_mails: bool = False

    identity_providers: tuple[IdentityProvider, ...] = Field(default=(), max_length=PROVIDERS_AT_MOST)

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str) -> str:
        return origin(value, like="https://weights.example.org", readable="tokens and signed URLs")

    @field_validator("listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError("write address:port, such as 127.0.0.1:8080")
        return value

    @field_validator("metrics_listen")
    @classmethod
    def _metrics_listen(cls, value: str | None, known: ValidationInfo) -> str | None:
        if not value:
            return None
        host, _, port = value.rpartition(":")
        if not port.isdigit() or not 0 < int(port) < 65536 or not addresses.is_inner(host.strip("[]")):
            raise ValueError(
                "write address:port, such as 127.0.0.1:9464; the address must be loopback or one of a private network, "
                "because anyone who reaches it can read everything there"
            )
        if value == known.data.get("listen"):
            raise ValueError("this is the address of the web server; choose a port of its own")
        return value

    @field_validator("traces_endpoint")
    @classmethod
    def _traces_endpoint(cls, value: str | None) -> str | None:
        if value is not None and not traces.are_installed():
            raise ValueError("OpenTelemetry is not installed: add the extra `traces`, or remove this")
        return None if value is None else origin(value, like="http://127.0.0.1:4318", readable="the traces")

    @field_validator("database_url", "sealer_database_url", "migration_database_url")
    @classmethod
    def _database_url(cls, value: str | None) -> str | None:
        # Without a file's name SQLite keeps all in memory, the log too.
        if value is not None and not re.match(r"(sqlite:///|postgresql\+psycopg://)[^\s?]", value):
            raise ValueError("write sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME")
        return value

    @field_validator("log_replica_url")
    @classmethod
    def _log_replica_url(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"postgresql\+psycopg://[^\s?]", value):
            raise ValueError("write postgresql+psycopg://USER:PASSWORD@HOST/NAME, a streaming replica of database_url")
        return value

    @field_validator("s3_endpoint_url")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        return None if value is None else origin(value, like="https://s3.example.org", readable="the weights")

    @field_validator("log_mirror", "log_months")
    @classmethod
    def _log_place(cls, value: str | None, known: ValidationInfo) -> str | None:
        if value is not None and value.partition("/")[0] in {
            known.data.get("s3_bucket"),
            known.data.get("anchor_bucket"),
        }:
            raise ValueError("choose a bucket of its own: others can read it, or write to it")
        mirror = known.data.get("log_mirror") if known.field_name == "log_months" else None
        if value is not None and mirror is not None and value.partition("/")[0] == mirror.partition("/")[0]:
            raise ValueError(
                "choose another bucket than log_mirror's: everyone may read that one, and months have every record"
            )
        return value

    @field_validator("signer_credentials")
    @classmethod
    def _signer_credentials(cls, value: str, known: ValidationInfo) -> str:
        if value == "role" and known.data.get("embedded_store"):
            raise ValueError("the embedded store knows no roles; set this to file")
        return value

    @field_validator("cloudfront_url")
    @classmethod
    def _cloudfront_url(cls, value: str | None, known: ValidationInfo) -> str | None:
        like = "https://d111111abcdef8.cloudfront.net"
        if known.data.get("delivery") == "cloudfront":
            if value is None:
                raise ValueError(f"missing; set the distribution's address, such as {like}")
            if known.data.get("embedded_store"):
                raise ValueError("CloudFront cannot reach the embedded store; remove this, and set delivery to s3")
        return None if value is None else origin(value, like=like, readable="the weights")

    @field_validator("s3_door_url")
    @classmethod
    def _s3_door_url(cls, value: str | None, known: ValidationInfo) -> str | None:
        door = known.data.get("s3_door", "off")
        if door == "proxy":
            if value is None:
                raise ValueError("missing; set the address that S3 tools are given, such as https://s3.example.org")
            if not known.data.get("embedded_store"):
                raise ValueError("the S3 door serves the embedded store only; remove this, and set s3_door to off")
        if door == "sts" and value is not None:
            raise ValueError('remove this: with s3_door = "sts" S3 tools are told s3_endpoint_url')
        return None if value is None else origin(value, like="https://s3.example.org", readable="the weights")

    @field_validator("sts_role_arn")
    @classmethod
    def _sts_role_arn(cls, value: str | None, known: ValidationInfo) -> str | None:
        if known.data.get("s3_door") == "sts":
            if value is None:
                raise ValueError(f"missing; set the role that reads the checkpoints, such as {_ROLE_LIKE}")
            if known.data.get("embedded_store"):
                raise ValueError("the embedded store knows no roles; remove this, and set s3_door to proxy")
        if value is not None and not ROLE_ARN.fullmatch(value):
            raise ValueError(f"write a role, such as {_ROLE_LIKE}")
        return value

    @field_validator("sts_endpoint_url")
    @classmethod
    def _sts_endpoint(cls, value: str | None) -> str | None:
        like = "https://sts.eu-central-1.amazonaws.com"
        return None if value is None else origin(value, like=like, readable="the keys that open the weights")

    @field_validator("url_sessions")
    @classmethod
    def _url_sessions(cls, value: bool, known: ValidationInfo) -> bool:
        if value and known.data.get("delivery") == "cloudfront":
            raise ValueError("CloudFront knows no sessions; remove this, or set delivery to s3")
        if value and known.data.get("embedded_store"):
            raise ValueError("the embedded store makes no sessions; remove this")
        if value and known.data.get("sts_role_arn") is None:
            raise ValueError(f"set sts_role_arn, too: the role that reads the checkpoints, such as {_ROLE_LIKE}")
        return value

    @field_validator("s3_key_lifetime_seconds")
    @classmethod
    def _s3_key_lifetime(cls, value: int, known: ValidationInfo) -> int:
        by_role = known.data.get("s3_door") == "sts" and known.data.get("signer_credentials") == "role"
        if by_role and value > CHAINED_SECONDS_AT_MOST:
            raise ValueError(f"at most {CHAINED_SECONDS_AT_MOST}: AWS lets the machine's role begin no longer session")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _smtp_url(cls, value: str | None) -> str | None:
        return None if value is None else mail_server(value)

    @field_validator("smtp_password_file")
    @classmethod
    def _smtp_password_file(cls, value: Path | None, known: ValidationInfo) -> Path | None:
        if (value is not None) != ("@" in (known.data.get("smtp_url") or "")):
            raise ValueError("set both the user in smtp_url and the password file here, or neither")
        return value

    @field_validator("mail_from")
    @classmethod
    def _mail_from(cls, value: str | None, known: ValidationInfo) -> str | None:
        if value is None and known.data.get("smtp_url") is not None:
            raise ValueError("missing; set the sender address, such as weights@lab.example.org")
        if value is not None and not MAIL_ADDRESS.fullmatch(value):
            raise ValueError("write one plain address, such as weights@lab.example.org")
        return value

    @field_validator("development_mails")
    @classmethod
    def _development_mails(cls, value: bool, known: ValidationInfo) -> bool:
        if value and not str(known.data.get("public_url", "")).startswith("http://"):
            raise ValueError("only allowed with an http public_url on loopback: it shows everyone's emails to anyone")
        if value and known.data.get("smtp_url") is not None:
            raise ValueError("remove this or smtp_url: emails are either shown or sent")
        return value

    @field_validator("witnesses")
    @classmethod
    def _witnesses(cls, value: tuple[Witness, ...]) -> tuple[Witness, ...]:
        if len({one.name for one in value}) < len(value):
            raise ValueError("two of them have the same name; a cosignature must say whose it is")
        return value

    @field_validator("workload_issuers")
    @classmethod
    def _workload_issuers(cls, value: tuple[WorkloadIssuer, ...]) -> tuple[WorkloadIssuer, ...]:
        if len({issuer.url for issuer in value}) != len(value):
            raise ValueError("an issuer is listed twice")
        return value

    @field_validator("identity_providers")
    @classmethod
    def _identity_providers(cls, value: tuple[IdentityProvider, ...]) -> tuple[IdentityProvider, ...]:
        for name in ("id", "name", "issuer"):
            if len({getattr(one, name) for one in value}) < len(value):
                raise ValueError(f"two of them have the same {name}; give each its own")
        return value

    @property
    def uses_sts(self) -> bool:
        """Whether the store makes sessions for us: for S3 tools, or to sign URLs with."""
        return self.s3_door == "sts" or self.url_sessions

    @model_validator(mode="after")
    def _paths_start_at_the_folder(self) -> "Settings":
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Path):
                object.__setattr__(self, name, self.folder / value)
        for name in ("witnesses", "workload_issuers", "identity_providers"):
            listed = tuple(one.starting_at(self.folder) for one in getattr(self, name))
            object.__setattr__(self, name, listed)
        for name in ("database_url", "sealer_database_url", "migration_database_url"):
            value = getattr(self, name)
            if value is not None and (match := re.fullmatch(r"sqlite:///([^/].*)", value)):
                object.__setattr__(self, name, f"sqlite:///{self.folder / match[1]}")
        return self


def load(folder: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read `folder/weightgate.toml`, then the WEIGHTGATE_* variables, which win.

    Raises SettingsError naming each key that is missing, unknown, out of bounds or unsafe, and the fix.
    """
    environment = os.environ if environment is None else environment
    folder = folder.absolute()
    variables = from_environment(environment)
    values = from_file(folder / FILE_NAME) | variables
    if "debug" in values or environment.get("FLASK_DEBUG", "0") not in {"", "0"}:
        raise SettingsError(
            "debug is not a setting, because it would show code and secrets to callers; remove it (and FLASK_DEBUG)"
        )
    try:
        return Settings(folder=folder, **values)
    except ValidationError as error:
        raise SettingsError("; ".join(sentence(item, variables) for item in error.errors())) from None
