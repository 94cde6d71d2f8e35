"""The partner's client as a wheel, for `pip install` from this very server: no partner needs our repository.

It is packed from the client that is installed with the server. Nothing of it is imported, and the same files always
give the same wheel, so its hash can stand in the address.
"""

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response, url_for

from server.domain.errors import NotFound
from server.web.identity import open_to_all

bp = Blueprint("client_wheel", __name__, url_prefix="/client")
NAME = "weightgate"
_TAG = "Wheel-Version: 1.0\nGenerator: weightgate-server\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file, so that the wheel depends on contents alone


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel (PyPA's binary distribution format)."""

    filename: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@bp.get("/")
@open_to_all
def newest() -> Response:
    """The wheel, at an address that stays."""
    return Response(status=302, headers={"Location": url_for("client_wheel.wheel", filename=_wheel().filename)})


@bp.get("/<filename>")
@open_to_all
def wheel(filename: str) -> Response:
    """The wheel, under the name that pip reads its version from."""
    found = _wheel()
    if filename != found.filename:
        raise NotFound("This server has no such version of the client.")
    return Response(found.content, mimetype="application/zip")


def address() -> str | None:
    """The path to install from, with the hash that pip then checks; None where no client is installed."""
    try:
        found = packed()
    except PackageNotFoundError:
        return None
    return f"{url_for('client_wheel.wheel', filename=found.filename)}#sha256={found.sha256}"


@cache
def packed() -> Wheel:
    """Pack the installed client. Raises PackageNotFoundError."""
    installed, spec = distribution(NAME), find_spec(NAME)
    if spec is None or not spec.submodule_search_locations:
        raise PackageNotFoundError(NAME)
    about = f"{NAME}-{installed.version}.dist-info"
    files = dict(_sources(Path(spec.submodule_search_locations[0])))
    for name in ("METADATA", "entry_points.txt"):
        files[f"{about}/{name}"] = (installed.read_text(name) or "").encode()
    files[f"{about}/WHEEL"] = _TAG.encode()
    files[f"{about}/RECORD"] = "".join(f"{name},{_digest(data)},{len(data)}\n" for name, data in files.items()).encode()
    files[f"{about}/RECORD"] += f"{about}/RECORD,,\n".encode()
    packing = io.BytesIO()
    with zipfile.ZipFile(packing, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
    return Wheel(f"{NAME}-{installed.version}-py3-none-any.whl", packing.getvalue())


def _wheel() -> Wheel:
    try:
        return packed()
    except PackageNotFoundError:
        raise NotFound("No client is installed with this server.") from None


def _sources(package: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(package.rglob("*")):
        if path.suffix == ".py" or path.name == "py.typed":
            yield f"{NAME}/{path.relative_to(package).as_posix()}", path.read_bytes()


def _digest(data: bytes) -> str:
    """A hash as RECORD spells it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode("ascii").rstrip("=")
