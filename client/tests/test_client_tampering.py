"""`weightgate log verify` against lies: each is refuted, by name, with exit code 1."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from client.tests.far_side import FarSide, Reply
from client.tests.partner import Partner
from client.tests.slow_log import b64, sha256

Answer = dict[str, Any]


def _flip(encoded: str) -> str:
    """Other bytes in the same form."""
    data = base64.b64decode(encoded)
    return b64(bytes([data[0] ^ 1]) + data[1:])


def _sign_anew(far: FarSide, answer: Answer, old: str, new: str) -> Answer:
    """The receipt with other content, under a good signature."""
    text = answer["receipt"].partition("\n\n")[0] + "\n"
    assert old in text
    return answer | {"receipt": far.receipt_signer.note(text.replace(old, new))}


def _with_record(far: FarSide, answer: Answer, **changes: object) -> Answer:
    """Another record, honestly logged and promised: only what it says differs from the answer."""
    record = json.loads(answer["record"]) | changes
    return far.answer_for(answer["id"], json.dumps(record, separators=(",", ":"), sort_keys=True), answer["files"])


def _leaf(answer: Answer) -> bytes:
    return sha256(b"\x00" + _commitment(answer))


def _commitment(answer: Answer) -> bytes:
    return sha256(b"weightgate-commit/v1\n" + base64.b64decode(answer["salt"]) + answer["record"].encode())


def _cut_signature(answer: Answer) -> str:
    before, _, signature = answer["receipt"].rstrip("\n").rpartition(" ")
    data = bytearray(base64.b64decode(signature))
    data[-1] ^= 1
    return f"{before} {b64(bytes(data))}\n"


ANSWERS: dict[str, tuple[str, Callable[[FarSide, Answer], Answer]]] = {
    "salt": ("other_record", lambda far, a: a | {"salt": _flip(a["salt"])}),
    "salt, short": ("malformed_answer", lambda far, a: a | {"salt": b64(bytes(31))}),
    "record byte": ("other_record", lambda far, a: a | {"record": a["record"].replace("1001", "1009")}),
    "record, a space": ("other_record", lambda far, a: a | {"record": a["record"] + " "}),
    "record, lone surrogate": ("malformed_answer", lambda far, a: a | {"record": "\ud800"}),
    "record, no JSON": ("malformed_answer", lambda far, a: a | {"record": "{"}),
    "record, twice a key": ("malformed_answer", lambda far, a: a | {"record": '{"a":1,"a":2}'}),
    "record, depth": ("malformed_answer", lambda far, a: a | {"record": "[" * 100_000}),
    "receipt signature": ("receipt_not_signed", lambda far, a: a | {"receipt": _cut_signature(a)}),
    "receipt under the log key": (
        "receipt_not_signed",
        lambda far, a: a | {"receipt": far.receipt(_leaf(a), far.log_signer)},
    ),
    "receipt text under an old signature": (
        "receipt_not_signed",
        lambda far, a: a | {"receipt": a["receipt"].replace("mmd 60", "mmd 61")},
    ),
    "receipt without signature": (
        "malformed_receipt",
        lambda far, a: a | {"receipt": a["receipt"].partition("\n\n")[0] + "\n"},
    ),
    "receipt, empty": ("malformed_receipt", lambda far, a: a | {"receipt": ""}),
    "leaf": ("other_record", lambda far, a: _sign_anew(far, a, b64(_leaf(a)), b64(sha256(b"other")))),
    "commitment for leaf": (
        "other_record",
        lambda far, a: _sign_anew(far, a, b64(_leaf(a)), b64(_commitment(a))),
    ),
    "mmd of a year": ("malformed_receipt", lambda far, a: _sign_anew(far, a, "mmd 60", "mmd 31536000")),
    "time without end": ("malformed_receipt", lambda far, a: _sign_anew(far, a, "time 1", "time 999999999999999")),
    "extra line": ("malformed_receipt", lambda far, a: _sign_anew(far, a, "mmd 60", "mmd 60\nmore 1")),
    "another form": ("malformed_receipt", lambda far, a: _sign_anew(far, a, "receipt/v1", "receipt/v2")),
    "id": ("other_download", lambda far, a: a | {"id": "00000000-0000-7000-8000-00000000ffff"}),
    "another kind of entry": ("other_download", lambda far, a: _with_record(far, a, kind="heartbeat")),
    "file left out": ("other_files", lambda far, a: a | {"files": a["files"][:1]}),
    "file added": ("other_files", lambda far, a: _with_record(far, a, files=[*a["files"], a["files"][0]])),
    "file hash": ("other_files", lambda far, a: a | {"files": [a["files"][0] | {"sha256": "00"}, a["files"][1]]}),
    "file size": ("other_files", lambda far, a: a | {"files": [a["files"][0] | {"size_bytes": 1}, a["files"][1]]}),
    "file path": ("other_files", lambda far, a: a | {"files": [a["files"][0] | {"path": "x"}, a["files"][1]]}),
    "files of another kind": ("malformed_answer", lambda far, a: a | {"files": [1, None]}),
    "true for 1": ("malformed_answer", lambda far, a: a | {"files": [a["files"][0] | {"size_bytes": True}]}),
}


@pytest.mark.parametrize("lie", ANSWERS)
def test_an_answer_that_was_tampered_with_is_refuted(far: FarSide, partner: Partner, lie: str) -> None:
    """Whatever part of the saved answer is changed, the check ends with 1, with and without a server."""
    code, tamper = ANSWERS[lie]
    answer = far.issue()
    far.seal()
    tampered = tamper(far, answer)
    far.seal()
    outcome = partner.verify(tampered)
    assert (outcome.code, outcome.fields["code"]) == (1, code), outcome.out
    assert partner.verify_offline(tampered, *partner.known_keys()).fields["code"] == code
    assert not partner.memory.exists()


def _edit_proof(line: int, change: Callable[[str], str]) -> Callable[[FarSide, Answer], Reply]:
    def edit(far: FarSide, answer: Answer) -> Reply:
        lines = far.proof(answer["id"]).split("\n")
        lines[line] = change(lines[line])
        return Reply("\n".join(lines).encode())

    return edit


def _head_of(far: FarSide, root: bytes) -> str:
    return far.log_signer.note(f"{far.origin}\n{far.sealed}\n{b64(root)}\n")


def _proof_over(far: FarSide, answer: Answer, head: str) -> Reply:
    above, _, _ = far.proof(answer["id"]).partition("\n\n")
    return Reply(f"{above}\n\n{head}".encode())


PROOFS: dict[str, tuple[str, Callable[[FarSide, Answer], Reply]]] = {
    "index": ("not_included", _edit_proof(2, lambda line: "index 3")),
    "index beyond the head": ("not_included", _edit_proof(2, lambda line: "index 7")),
    "index, leading zero": ("malformed_proof", _edit_proof(2, lambda line: "index 02")),
    "index, signed": ("malformed_proof", _edit_proof(2, lambda line: "index -2")),
    "index, left out": ("malformed_proof", _edit_proof(2, lambda line: b64(bytes(32)))),
    "proof hash": ("not_included", _edit_proof(3, _flip)),
    "proof hash, short": ("malformed_proof", _edit_proof(3, lambda line: b64(bytes(31)))),
    "proof hash, one more": ("not_included", _edit_proof(3, lambda line: f"{line}\n{line}")),
    "proof hash, left empty": ("head_not_signed", _edit_proof(3, lambda line: "")),
    "endless path": ("malformed_proof", _edit_proof(3, lambda line: "\n".join([line] * 64))),
    "salt of another": ("other_proof", _edit_proof(1, lambda line: f"extra {b64(bytes(32))}")),
    "another form": ("malformed_proof", _edit_proof(0, lambda line: "c2sp.org/tlog-proof@v2")),
    "not ASCII": ("malformed_proof", _edit_proof(2, lambda line: "index ²")),
    "empty": ("malformed_proof", lambda far, answer: Reply(b"")),
    "HTML": ("malformed_proof", lambda far, answer: Reply(b"<html>\n\n</html>")),
    "huge": ("malformed_proof", lambda far, answer: Reply(b"A" * (256 * 1024 + 1))),
    "head root": ("not_included", lambda far, answer: _proof_over(far, answer, _head_of(far, bytes(32)))),
    "head signature": (
        "head_not_signed",
        lambda far, answer: _proof_over(far, answer, far.head().replace("\n6\n", "\n7\n")),
    ),
    "head under the receipt key": (
        "head_not_signed",
        lambda far, answer: _proof_over(far, answer, far.receipt_signer.note(far.head().partition("\n\n")[0] + "\n")),
    ),
}


@pytest.mark.parametrize("lie", PROOFS)
def test_a_proof_that_was_tampered_with_is_refuted(far: FarSide, partner: Partner, lie: str) -> None:
    """Whatever part of the proof is changed, the check ends with 1, and nothing of it is remembered."""
    code, tamper = PROOFS[lie]
    far.grow(2)
    answer = far.issue()
    far.grow(6)
    far.seal()
    far.answers[far.proof_path(answer)] = tamper(far, answer)
    outcome = partner.verify(answer)
    assert (outcome.code, outcome.fields["code"]) == (1, code), outcome.out
    assert not partner.memory.exists()


def test_a_proof_may_leave_the_salt_out(far: FarSide, partner: Partner) -> None:
    """The extra line is for other readers: without it the proof is as good."""
    answer = far.issue()
    far.seal()
    _, extra, rest = far.proof(answer["id"]).split("\n", 2)
    assert extra.startswith("extra ")
    far.answers[far.proof_path(answer)] = Reply(f"c2sp.org/tlog-proof@v1\n{rest}".encode())
    assert partner.verify(answer).code == 0


HEADS: dict[str, tuple[str, Callable[[FarSide], str]]] = {
    "root": ("forked", lambda far: _head_of(far, bytes(32))),
    "signature": ("head_not_signed", lambda far: far.head().replace("\n6\n", "\n7\n")),
    "receipt key": (
        "head_not_signed",
        lambda far: far.receipt_signer.note(far.head().partition("\n\n")[0] + "\n"),
    ),
    "another log": (
        "other_log",
        lambda far: far.log_signer.note(far.head().partition("\n\n")[0].replace("2026", "2025") + "\n"),
    ),
    "extension line": ("malformed_head", lambda far: far.log_signer.note(far.head().partition("\n\n")[0] + "\nmore\n")),
    "two lines": ("malformed_head", lambda far: far.log_signer.note(f"{far.origin}\n6\n")),
    "size in hex": ("malformed_head", lambda far: far.log_signer.note(f"{far.origin}\n0x6\n{b64(bytes(32))}\n")),
    "size 2^63": ("malformed_head", lambda far: far.log_signer.note(f"{far.origin}\n{2**63}\n{b64(bytes(32))}\n")),
    "short root": ("malformed_head", lambda far: far.log_signer.note(f"{far.origin}\n6\n{b64(bytes(31))}\n")),
    "empty with a root": ("malformed_head", lambda far: far.log_signer.note(f"{far.origin}\n0\n{b64(bytes(32))}\n")),
    "empty": ("malformed_head", lambda far: ""),
    "HTML": ("malformed_head", lambda far: "<html></html>"),
    "huge": ("malformed_head", lambda far: far.head() + far.log_signer.line("x") * 2000),
    "older than the proof's": ("rolled_back", lambda far: far.head(5)),
}


@pytest.mark.parametrize("lie", HEADS)
def test_a_head_that_was_tampered_with_is_refuted(far: FarSide, partner: Partner, lie: str) -> None:
    """A good proof does not help a log whose head is not its own, or not the proof's: exit 1, nothing remembered."""
    code, tamper = HEADS[lie]
    answer = far.issue()
    far.grow(6)
    far.seal()
    far.answers["/log/checkpoint"] = Reply(tamper(far).encode())
    outcome = partner.verify(answer)
    assert (outcome.code, outcome.fields["code"]) == (1, code), outcome.out
    assert not partner.memory.exists()


def test_a_receipt_for_another_log_than_the_key_given_is_refuted(far: FarSide, partner: Partner) -> None:
    """Who was told the key of one log is not satisfied by a promise about another."""
    other = type(far.log_signer)("other.example.org/downloads/2026", b"other")
    answer = far.issue()
    far.seal()
    options = ("--log-vkey", other.vkey)
    for outcome in (partner.verify_offline(answer, *options), partner.verify(answer, *options)):
        assert (outcome.code, outcome.fields["code"]) == (1, "other_log")


@pytest.mark.parametrize("lie", ["the same key", "one name"])
def test_one_key_for_heads_and_receipts_is_refuted(far: FarSide, partner: Partner, lie: str) -> None:
    """Were they one, a head could pass for a receipt: the client insists on two keys with two names."""
    if lie == "the same key":
        far.receipt_signer = type(far.log_signer)("weights.example.org/receipts/2026", b"log")
    else:
        far.receipt_signer = type(far.log_signer)(far.origin, b"receipts")
    answer = far.issue()
    far.seal()
    assert (partner.verify(answer).code, partner.verify(answer).fields["code"]) == (1, "one_key")
