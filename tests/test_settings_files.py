"""Settings files: no setting that names a file is unknown to backups and `doctor`."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from server import settings, settings_files
from server.domain.operation import key_files
from server.settings import FILE_NAME, Settings
from tests.test_settings import GOOD, VKEY

TABLES = f"""
findings_key_file = "keys/findings.json"
uploads_key_file = "keys/uploads.json"
smtp_url = "smtps://gate@mail.example.org"
smtp_password_file = "keys/smtp-password"
mail_from = "weights@lab.example.org"
[[witnesses]]
url = "https://w.example/w1"
vkey = "{VKEY}"
ca_file = "ca/witness.pem"
[[workload_issuers]]
url = "https://kubernetes.example"
jwks_file = "kubernetes.jwks.json"
ca_file = "ca/kubernetes.pem"
[[identity_providers]]
id = "lab"
name = "SSO"
issuer = "https://login.example.org"
client_id = "weightgate"
client_secret_file = "keys/oidc-lab"
ca_file = "ca/lab.pem"
organizations = ["lab"]
"""


def models(annotation: object = Settings) -> Iterator[type[BaseModel]]:
    """A model, and those in its fields."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models(field.annotation)
    for part in get_args(annotation):
        yield from models(part)


def test_each_is_told_what_it_holds() -> None:
    """A new one fails here until `doctor` can open it, and until its type says that it is a file."""
    declared = set(settings_files.declared())
    assert declared == set(key_files.KINDS)
    called_so = {name for model in models() for name in model.model_fields if name.endswith("_file")}
    assert called_so == {setting.rpartition(".")[2] for setting in declared}


def test_those_of_tables_are_found_in_their_place(tmp_path: Path) -> None:
    """With every setting that there is, each is found, below the data folder."""
    (tmp_path / FILE_NAME).write_text(GOOD + TABLES)
    found = list(settings_files.named(settings.load(tmp_path, {})))
    assert {file.setting for file in found} == set(settings_files.declared())
    assert {str(file.path.relative_to(tmp_path)) for file in found} >= {
        "keys/oidc-lab", "kubernetes.jwks.json", "ca/lab.pem", "ca/kubernetes.pem", "ca/witness.pem",
        "keys/log.key.pem",
    }  # fmt: skip


def test_a_list_or_a_table_of_files_is_no_hiding_place(tmp_path: Path) -> None:
    """However a setting of some day holds its paths."""

    class Held(BaseModel):
        alone: Path | None = None
        listed: tuple[Path, ...] = ()
        by_name: dict[str, Path] = {}

    class Holding(Settings):
        held: Held

    held = Held(alone=Path("/a"), listed=(Path("/b"),), by_name={"c": Path("/c")})
    made = Holding(folder=tmp_path, held=held, **tomllib.loads(GOOD))
    found = {(file.setting, str(file.path)) for file in settings_files.named(made) if file.setting.startswith("held")}
    assert found == {("held.alone", "/a"), ("held.listed", "/b"), ("held.by_name", "/c")}
    assert {name for name in settings_files.declared(Holding) if name.startswith("held")} == {name for name, _ in found}
