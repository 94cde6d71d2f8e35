"""Records in words: what each kind of entry and alarm says, for people; the exact text stands beside it."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import orjson

from server import dates
from server.domain.delivery import alarms
from server.domain.entry_kinds import BY_ITSELF, KINDS
from server.log.entries import LogEntry

WORDS: dict[str, str] = {kind: about.words for kind, about in KINDS.items()}
ALARMS = alarms.WORDS
_MOMENTS = frozenset({"time", "starts_at", "expires_at", "wanted_until", "read_at"})
_BYTES = frozenset({"size_bytes", "bytes_sent", "bytes_per_day"})
_HASHES = frozenset({"checkpoint", "content_sha256", "agreement_sha256", "document_sha256", "sha256", "object_key"})
_ACTOR = {
    "person": "By", "organization": "Organization", "via": "Via", "token": "Token",
    "address": "From", "user_agent": "User agent",
}  # fmt: skip
_VIA = {
    "session": "the portal", "token": "a token", "cli": "the command line", "anonymous": "no sign-in",
    "workload": "an identity token",
}  # fmt: skip
_LABELS = {"agreement_sha256": "Agreement SHA-256", "lifetime_seconds": "URL lifetime in seconds",
           "access_key_id": "Access key ID"}  # fmt: skip
_ELSEWHERE = frozenset({"actor", "entry", "files", "version", "kind"})  # shown in a way of their own

Fact = tuple[str, str, Any]  # what it is, how it is shown, and the value


def in_words(kind: str) -> str:
    """`Clearance approved`; what is no kind, as whoever owns the database may have written, stands for itself."""
    return WORDS.get(kind, kind)


def refused_in_words(code: str) -> str:
    """`Not cleared`, of the code of a refusal."""
    return code.replace("_", " ").capitalize()


def about(entry: LogEntry) -> str:
    """What an entry is about, in a word or two."""
    thing = entry.kind.partition(".")[0].replace("_", " ")
    if entry.stage is not None or entry.subject is None:
        return entry.stage or "–"
    if thing == "person":
        return str(of(entry).get("person", "–"))
    if thing == "entry":
        return f"entry of kind {in_words(str(of(entry).get('erased', '–')))}"
    return f"{thing} {entry.subject}" if entry.subject.isdigit() else entry.subject


def folded(found: Sequence[LogEntry]) -> list[tuple[str, Sequence[LogEntry]]]:
    """A list in runs: each entry alone, but what the worker writes by itself together, with words that count it."""
    runs: list[tuple[str, Sequence[LogEntry]]] = []
    for by_itself, some in groupby(found, lambda entry: entry.kind in BY_ITSELF):
        together = list(some)
        if by_itself and len(together) > 1:
            counted = Counter(in_words(entry.kind) for entry in together)
            runs.append((", ".join(f"{kind} ({count})" for kind, count in sorted(counted.items())), together))
        else:
            runs += [("", [entry]) for entry in together]
    return runs


def of(entry: LogEntry) -> dict[str, Any]:
    """The record; empty where it was erased."""
    loaded: dict[str, Any] = orjson.loads(entry.record) if entry.record else {}
    return loaded


def facts(record: dict[str, Any]) -> list[Fact]:
    """What a record says, line by line: first who acted, then what."""
    actor = record.get("actor", {})
    told: list[Fact] = [
        (label, "text", _VIA.get(actor[name], actor[name]) if name == "via" else actor[name])
        for name, label in _ACTOR.items()
        if name in actor
    ]
    told += [fact for name, value in actor.get("workload", {}).items() for fact in _fact(name, value)]
    told += [fact for name, value in sorted(record.items()) if name not in _ELSEWHERE for fact in _fact(name, value)]
    return told


def _fact(name: str, value: Any) -> list[Fact]:
    label = _LABELS.get(name) or name.replace("_", " ").capitalize()
    if value is None or value in ({}, []):
        return []
    if name in _MOMENTS and isinstance(value, int):
        return [(label.removesuffix(" at"), "moment", dates.of_milliseconds(value))]
    if name in _BYTES and isinstance(value, int):
        return [(label.removesuffix(" bytes"), "bytes", value)]
    if isinstance(value, dict):
        return [(f"{label}: {part}", "text", str(more)) for part, more in sorted(value.items())]
    if isinstance(value, list):
        return [(label, "text", ", ".join(map(str, value)))]
    if isinstance(value, bool):
        return [(label, "text", "yes" if value else "no")]
    return [(label, "hash" if name in _HASHES else "text", value if name in _HASHES else str(value))]
