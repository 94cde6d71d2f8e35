"""Witnesses as the settings name them: who cosigns the log's heads, where they are asked, and by which key."""

import base64
import hashlib
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from server.addresses import require_https

AT_MOST = 20  # each is asked about every head, and adds a line of about 150 bytes to it
_VKEY = re.compile(r"(?P<name>[^\s+\x00-\x1f]{1,200})\+(?P<id>[0-9a-f]{8})\+(?P<key>[A-Za-z0-9+/]+=*)")
_COSIGNATURE = 0x04  # C2SP signed-note, Signature types: Ed25519, over a time and a head
_KEY_BYTES = 33


class Witness(BaseModel):
    """An outside witness of C2SP tlog-witness. Each key is explained in `config/example.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str = Field(max_length=500)
    vkey: str = Field(max_length=300)
    ca_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        require_https(
            value, write="write the witness's submission prefix, such as https://witness.example.org/w1",
            risk="can answer in its place", path="(/[A-Za-z0-9._~-]+)*",
        )  # fmt: skip
        return value

    @field_validator("vkey")
    @classmethod
    def _vkey(cls, value: str) -> str:
        found = _VKEY.fullmatch(value)
        try:
            material = base64.b64decode(found["key"], validate=True) if found else b""
        except ValueError:
            material = b""
        if found is None or len(material) != _KEY_BYTES:
            raise ValueError("copy the whole verifier key from the witness's operator: name+id+key")
        if material[0] != _COSIGNATURE:
            raise ValueError("this is not a key of Ed25519 cosignatures (type 0x04); ask the operator for that one")
        if hashlib.sha256(found["name"].encode() + b"\n" + material).digest()[:4].hex() != found["id"]:
            raise ValueError("the key's id is not its own, so a character is wrong: copy it again")
        return value

    @property
    def name(self) -> str:
        """As it stands in its signature lines."""
        return self.vkey.partition("+")[0]

    def starting_at(self, folder: Path) -> "Witness":
        """The same, with a path that starts at this folder."""
        return self if self.ca_file is None else self.model_copy(update={"ca_file": folder / self.ca_file})
