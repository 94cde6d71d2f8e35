"""The saved answer of `POST /api/v1/downloads`: what the server said it gave, and whether its parts agree."""

import re
from dataclasses import dataclass
from typing import Any

from weightgate.log import hashing, receipt
from weightgate.log.encoding import decode_base64, load_json_object
from weightgate.log.hashing import SALT_BYTES
from weightgate.log.receipt import Receipt
from weightgate.verdicts import Malformed, Refuted, WrongUse

SIZE_BYTES_AT_MOST = 16 * 1024 * 1024  # a thousand files with their URLs are about 4 MB
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FILE_FIELDS = ("path", "size_bytes", "sha256")


@dataclass(frozen=True, slots=True)
class SavedAnswer:
    """The fields that the log is about. The URLs are left where they were: whoever sees one can use it."""

    id: str
    record: str
    salt: str
    receipt: str
    files: list[Any]


def parse(data: bytes) -> SavedAnswer:
    """Read the file that the command was given. Raises WrongUse when it is not a saved answer."""
    if len(data) > SIZE_BYTES_AT_MOST:
        raise _not_an_answer(f"it is larger than {SIZE_BYTES_AT_MOST} bytes")
    try:
        fields = load_json_object(data)
    except Malformed as error:
        raise _not_an_answer(str(error)) from None
    for name, kind in {"id": str, "record": str, "salt": str, "receipt": str, "files": list}.items():
        if not isinstance(fields.get(name), kind):
            raise _not_an_answer(f"`{name}` is missing or malformed")
    if not _ID.fullmatch(fields["id"]):
        raise _not_an_answer("`id` is not a download ID")
    return SavedAnswer(**{name: fields[name] for name in SavedAnswer.__dataclass_fields__})


def require_agreement(saved: SavedAnswer) -> Receipt:
    """Check all that needs no key and no network: the receipt is for this record, and the record for these files.

    Returns the receipt, whose signature is still to be checked. Raises Refuted.
    """
    promised = receipt.parse(_encoded(saved.receipt, "receipt"))
    record = _encoded(saved.record, "record")
    try:
        salt = decode_base64(saved.salt, SALT_BYTES)
        said = load_json_object(record)
    except Malformed as error:
        raise Refuted("malformed_answer", f"The record or its salt is malformed: {error}.") from None
    if hashing.hash_leaf(hashing.commit(salt, record)) != promised.leaf:
        raise Refuted("other_record", "The receipt does not match the record and salt in the file.")
    if said.get("kind") != "download" or said.get("download") != saved.id:
        raise Refuted("other_download", f"The logged record is not for the download {saved.id}.")
    if _files(said.get("files")) != _files(saved.files):
        raise Refuted("other_files", "The logged record names different files than the file does.")
    return promised


def _files(listed: Any) -> list[tuple[Any, ...]]:
    """Path, size and hash of each file, sorted by path; of what is no list of files, a refutation."""
    if not isinstance(listed, list) or not all(_is_file(file) for file in listed):
        raise Refuted("malformed_answer", "The list of files in the record or in the response is malformed.")
    return sorted(tuple(file[field] for field in _FILE_FIELDS) for file in listed)


def _is_file(file: Any) -> bool:
    if not isinstance(file, dict):
        return False
    path, size_bytes, sha256 = (file.get(field) for field in _FILE_FIELDS)
    return isinstance(path, str) and isinstance(sha256, str) and type(size_bytes) is int


def _encoded(text: str, field: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise Refuted("malformed_answer", f"The {field} is malformed: it contains a lone surrogate.") from None


def _not_an_answer(why: str) -> WrongUse:
    return WrongUse(
        "not_an_answer",
        f"RECEIPT is not a saved response of POST /api/v1/downloads: {why}.",
        "Use the complete JSON response, as the server sent it.",
    )
