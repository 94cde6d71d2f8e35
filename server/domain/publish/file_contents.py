"""What a file's bytes must look like for the name it has: a pickle stays a pickle whatever it is called."""

import codecs
import json
import pickletools
import re
from collections.abc import Container
from typing import BinaryIO, NoReturn

from server.domain.publish.faults import NotPublishable
from server.domain.publish.source_files import SourceFile

MAX_READ_BYTES = 100_000_000  # JSON, text and tokenizers: what a check reads as a whole

# Source: the field numbers of sentencepiece_model.proto (200 and up are extensions) and of meta_graph.proto.
SENTENCEPIECE_FIELDS = frozenset({1, 2, 3, 4, 5, *range(200, 300)})
META_GRAPH_FIELDS = frozenset(range(1, 8))

# A token in base64, its rank. Of an empty token only the padding stands there: Whisper's multilingual vocabulary.
_TIKTOKEN_LINE = re.compile(r"(?:(?:[A-Za-z0-9+/]+=*|=*) [0-9]+\r?)?", re.ASCII)
_YAML_OBJECT = re.compile(r"!!python|!python|tag:yaml\.org,2002:python")
_BLOCK_BYTES = 1 << 20
_MAGICS = {
    b"\x7fELF": "a program",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x93NUMPY": "a NumPy file",
    b"GGUF": "a GGUF file",
}
_JPEG = re.compile(rb"\xff\xd8\xff")
_IMAGE_STARTS = {
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "jpg": _JPEG,
    "jpeg": _JPEG,
    "webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}
_IMPORTS = {"GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"}
_LENGTH_DELIMITED = 2


def read_json(file: SourceFile, *, strict: bool = False) -> object:
    """Return the value of a JSON file. Raises NotPublishable unless it is UTF-8 JSON.

    strict: refuse also a key that stands twice, and NaN and Infinity, which Python writes into a config.json.
    """
    text = _read_text(file)
    try:
        if strict:
            return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse)
        return json.loads(text)
    except RecursionError:
        fault = "it is nested too deep"
    except ValueError as error:
        fault = str(error)
    raise NotPublishable(file.path, f"is not JSON ({fault})", "save it again")


def require_text(file: SourceFile) -> None:
    """Raise NotPublishable unless the file is UTF-8 text, and not a pickle of the textual protocol."""
    text = _read_text(file)
    if is_pickle(text[:_BLOCK_BYTES].encode()):
        raise _disguised(file, "a pickle")


def require_yaml(file: SourceFile) -> None:
    """Raise NotPublishable unless the file is text without the tags that make a careless reader of YAML run code."""
    require_text(file)
    if _YAML_OBJECT.search(_read_text(file)):
        raise NotPublishable(file.path, "contains YAML tags of Python objects, which run code", "remove the tags")


def require_image(file: SourceFile) -> None:
    """Raise NotPublishable unless the file begins as the kind of image that its name promises."""
    with file.open_unchanged() as stream:
        start = stream.read(12)
    suffix = file.name.rpartition(".")[2].lower()
    if not _IMAGE_STARTS[suffix].match(start):
        raise NotPublishable(file.path, f"does not start like a {suffix} image", "save it again")


def require_numbers(file: SourceFile) -> None:
    """Raise NotPublishable when raw numbers begin like a format that carries code. They have no form to check."""
    with file.open_unchanged() as stream:
        _require_harmless_start(file, stream)


def require_protobuf(file: SourceFile, fields: Container[int]) -> None:
    """Raise NotPublishable unless the file is one protobuf message of such fields, each with a length, to its end."""
    if not _is_protobuf(_read(file), fields):
        raise NotPublishable(file.path, "does not contain the protobuf message its name promises", "copy it again")


def require_tokenizer_model(file: SourceFile) -> None:
    """Raise NotPublishable unless a vocabulary is SentencePiece's or tiktoken's: pieces and settings, never code."""
    if _is_protobuf(_read(file), SENTENCEPIECE_FIELDS):
        return
    if not all(_TIKTOKEN_LINE.fullmatch(line) for line in _read_text(file).split("\n")):
        raise NotPublishable(file.path, "is neither a SentencePiece nor a tiktoken vocabulary", "copy it again")


def is_pickle(start: bytes) -> bool:
    """Say whether bytes read as a pickle: a binary one by its first steps, a textual one when it imports and ends.

    An alarm for files that were renamed, not the gate: the gate is the list of formats.
    """
    is_binary = len(start) > 1 and start[0] == 0x80 and 2 <= start[1] <= 5
    steps, imports = 0, False
    try:
        for opcode, _, _ in pickletools.genops(start):
            steps += 1
            imports = imports or opcode.name in _IMPORTS
            if opcode.name == "STOP":
                return imports or is_binary
    except (ValueError, DeprecationWarning):  # the warning is an error where warnings are
        pass
    return is_binary and steps >= 4


def _read(file: SourceFile) -> bytes:
    if file.size_bytes > MAX_READ_BYTES:
        raise NotPublishable(
            file.path, f"has more than the {MAX_READ_BYTES} bytes allowed for such a file", "move it out of the folder"
        )
    content = bytearray()
    with file.open_unchanged() as stream:
        _require_harmless_start(file, stream)
        while block := stream.read(_BLOCK_BYTES):
            content += block
            if len(content) > file.size_bytes:
                raise NotPublishable(
                    file.path, "grew while it was being read", "do not change the folder, and try again"
                )
    return bytes(content)


def _read_text(file: SourceFile) -> str:
    content = _read(file)
    if content.startswith(codecs.BOM_UTF8):
        raise NotPublishable(file.path, "begins with a byte order mark", "save it as plain UTF-8")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotPublishable(file.path, f"is not UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    if "\0" in text:
        raise NotPublishable(file.path, "contains a NUL character, so it is not text", "move it out of the folder")
    return text


def _require_harmless_start(file: SourceFile, stream: BinaryIO) -> None:
    """Look at the first bytes, and leave the stream at its beginning."""
    start = stream.read(_BLOCK_BYTES)
    stream.seek(0)
    for magic, kind in _MAGICS.items():
        if start.startswith(magic):
            raise _disguised(file, kind)
    if start[:1] == b"\x80" and is_pickle(start):
        raise _disguised(file, "a pickle")


def _disguised(file: SourceFile, kind: str) -> NotPublishable:
    return NotPublishable(
        file.path, f"is {kind} under another name", "convert it to safetensors, or move it out of the folder"
    )


def _is_protobuf(content: bytes, fields: Container[int]) -> bool:
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        if tag & 7 != _LENGTH_DELIMITED or tag >> 3 not in fields:
            return False
        length, position = _varint(content, position)
        if length < 0:
            return False
        position += length
    return position == len(content) > 0


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """Return a protobuf number and where it ends; -1 when there is none."""
    value = 0
    for index, byte in enumerate(content[position : position + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    return -1, position


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key appears twice")
    return result


def _refuse(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not a number")
