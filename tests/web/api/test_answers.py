"""Answers: what the lists and single answers have in common, and exactly the keys that are promised."""

from typing import Any

import pytest

from server.domain.audit import logs
from tests.world import World

CLEARANCE = {
    "id", "organization", "model", "tier", "state", "purpose", "report_to_renew", "starts_at", "expires_at",
    "proposed_at", "approved_at", "revoked_at",
}  # fmt: skip
KEYS = {
    "/organizations": {"id", "name", "is_lab", "created_at", "suspended_at"},
    "/people": {"email", "name", "role", "organization", "created_at", "disabled_at"},
    "/clearances": CLEARANCE,
    "/tiers": {"name", "rank"},
    "/agreements": {"name", "number", "title", "sha256", "published_at", "resign_until", "text", "signatures"},
}


@pytest.mark.parametrize("path", KEYS)
def test_a_list_has_its_keys(sqlite_world: World, path: str) -> None:
    """Items of exactly the promised keys, and a cursor."""
    body = sqlite_world.api("GET", path).json
    assert set(body) == {"items", "next_cursor"}
    assert body["items"]
    assert all(set(item) == KEYS[path] for item in body["items"])


@pytest.mark.parametrize("path", [*KEYS, "/stages", "/tokens"])
def test_a_list_is_whole_in_parts(world: World, path: str) -> None:
    """One by one or all at once, in the same order: nothing is lost or comes twice."""
    whole = world.api("GET", f"{path}?limit=200", "admin").json
    assert whole["next_cursor"] is None
    parts: list[Any] = []
    query = "limit=1"
    while True:
        page = world.api("GET", f"{path}?{query}", "admin").json
        parts += page["items"]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == 1
        query = f"limit=1&cursor={page['next_cursor']}"
    assert parts == whole["items"]


def test_a_cursor_past_the_end_is_an_empty_list(sqlite_world: World) -> None:
    """Not an error: what was after it may be gone."""
    body = sqlite_world.api("GET", f"/people?cursor={10**18 - 1}").json
    assert body == {"items": [], "next_cursor": None}


def test_me_tells_who_one_is(sqlite_world: World) -> None:
    """Person, role, organization, the token's end and the clearances."""
    body = sqlite_world.api("GET", "/me").json
    assert set(body) == {"person", "role", "organization", "token", "clearances"}
    assert set(body["token"]) == {"id", "name", "scopes", "expires_at"}
    assert (body["person"], body["role"]) == ("owner@aurora-institute.example", "owner")
    assert body["token"]["id"] == sqlite_world.example.tokens["cleared"][4:16]
    assert body["token"]["scopes"] == ["downloads:create", "findings:create", "log:read", "stages:read"]
    assert {clearance["model"] for clearance in body["clearances"]} == {"gpt-2", "mini-gpt"}
    assert all(set(clearance) == CLEARANCE and clearance["state"] == "active" for clearance in body["clearances"])


def test_a_signature_is_shown_to_its_own_side(sqlite_world: World) -> None:
    """The signed partner sees its signature, another sees none, staff see it."""
    seen = {}
    for token in ("cleared", "uncleared", "auditor"):
        (agreement,) = sqlite_world.api("GET", "/agreements", token).json["items"]
        seen[token] = agreement["signatures"]
    assert seen["uncleared"] == []
    assert seen["cleared"] == seen["auditor"]
    (signature,) = seen["cleared"]
    assert set(signature) == {
        "id", "organization", "number", "signer_name", "signer_title", "signed_on", "document_sha256",
        "countersigned_at", "ended_at",
    }  # fmt: skip
    assert (signature["organization"], signature["signer_name"]) == ("aurora-institute", "Sol Signer")


def test_the_public_keys_are_those_that_verify(sqlite_world: World) -> None:
    """The manifests' as PEM, the log's and the receipts' as verifier keys: to everyone, and private ones to nobody."""
    body = sqlite_world.api("GET", "/keys", None).json
    with sqlite_world.use.database.reading() as session:
        log = logs.current(session)
    assert body == {
        "log_origin": log.origin, "log_vkey": log.vkey, "receipt_vkey": log.receipt_vkey,
        "manifest_public_key": sqlite_world.settings.manifest_public_key_file.read_text(),
    }  # fmt: skip
    assert body["log_vkey"].startswith(f"{log.origin}+")
    assert body["manifest_public_key"].startswith("-----BEGIN PUBLIC KEY-----")


def test_times_are_rfc_3339_in_utc(sqlite_world: World) -> None:
    """To the second, with Z."""
    (own,) = sqlite_world.api("GET", "/organizations").json["items"]
    assert own["created_at"][-1] == "Z"
    assert len(own["created_at"]) == len("2019-02-14T00:00:00Z")
