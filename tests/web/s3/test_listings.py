"""Listings: every delimiter, token and max-keys; only the stage of the key; main once, and checkpoints by name."""

import xml.etree.ElementTree as ElementTree
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.web.s3.listings import Part, Wanted, cut
from tests import s3
from tests.world import World

STAGE = "mini-gpt/base"
KEYS = st.lists(st.text("ab/", min_size=1, max_size=6), unique=True, max_size=12).map(sorted)


@pytest.fixture
def door(sqlite_world: World) -> World:
    s3.open_door(sqlite_world)
    return sqlite_world


def listed(world: World, query: str, name: str = "cleared", stage: str = STAGE) -> Any:
    """The answer's tree, without namespaces."""
    answer = s3.get(world, s3.key_of(world, name, stage), f"/models?{query}")
    assert answer.status_code == 200, answer.text
    return ElementTree.fromstring(answer.text.replace(' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', ""))  # noqa: S314


def keys(tree: Any) -> list[str]:
    return [str(item.findtext("Key")) for item in tree.iter("Contents")]


def prefixes(tree: Any) -> list[str]:
    return [str(item.findtext("Prefix")) for item in tree.iter("CommonPrefixes")]


def expected(all_keys: list[str], prefix: str, delimiter: str) -> list[str]:
    """What S3 lists, by its documentation: keys, and what rolls up."""
    found = set()
    for key in all_keys:
        if key.startswith(prefix):
            rest = key[len(prefix) :]
            found.add(prefix + rest.partition(delimiter)[0] + delimiter if delimiter and delimiter in rest else key)
    return sorted(found)


@settings(max_examples=300)
@given(KEYS, st.text("ab/", max_size=3), st.sampled_from(["", "/", "a", "b/", "//"]), st.integers(1, 4))
def test_parts_come_to_the_whole(all_keys: list[str], prefix: str, delimiter: str, at_most: int) -> None:
    """Whatever the keys, the delimiter and the size of a part: nothing is left out and nothing comes twice."""
    found, after = list[str](), ""
    for _ in range(len(all_keys) + 1):
        part: Part = cut(((key, key) for key in all_keys), Wanted(prefix, delimiter, after, at_most, False))  # type: ignore[misc]
        assert part.count <= at_most
        found += sorted([*(key for key, _ in part.keys), *part.prefixes])
        if not (after := part.next_after):
            break
    assert found == expected(all_keys, prefix, delimiter)


@pytest.mark.parametrize("version", ["list-type=2&", ""])
def test_folders_lead_to_the_files(door: World, version: str) -> None:
    """As tools walk: model, stage, files. The list without a delimiter has them all."""
    assert prefixes(listed(door, f"{version}delimiter=/")) == ["mini-gpt/"]
    assert prefixes(listed(door, f"{version}delimiter=/&prefix=mini-gpt/")) == [f"{STAGE}/"]
    files = keys(listed(door, f"{version}delimiter=/&prefix={STAGE}/"))
    assert len(files) == 10
    assert files == keys(listed(door, version.removesuffix("&"))) == sorted(files)


@pytest.mark.parametrize("at_most", [1, 3, 9, 10, 11])
def test_both_versions_go_on_where_they_ended(door: World, at_most: int) -> None:
    """By the token of the second, and the marker of the first."""
    whole = keys(listed(door, "list-type=2"))
    for first, token in (
        ("list-type=2&", ("NextContinuationToken", "continuation-token")),
        ("", ("NextMarker", "marker")),
    ):
        found, more = list[str](), ""
        while True:
            tree = listed(door, f"{first}max-keys={at_most}{more}")
            found += keys(tree)
            if tree.findtext("IsTruncated") == "false":
                break
            more = f"&{token[1]}={quote(str(tree.findtext(token[0])), safe='')}"
        assert found == whole


def test_no_keys_may_be_asked_for(door: World) -> None:
    """Then there is no more either; and more than a thousand are not given at once."""
    tree = listed(door, "list-type=2&max-keys=0")
    assert (keys(tree), tree.findtext("IsTruncated"), tree.findtext("KeyCount")) == ([], "false", "0")
    assert listed(door, "list-type=2&max-keys=100000").findtext("MaxKeys") == "1000"


def test_a_list_may_start_after_a_key(door: World) -> None:
    """Which need not be there."""
    after = f"{STAGE}/tokenizer.json"
    assert keys(listed(door, f"list-type=2&start-after={after}")) == [
        f"{STAGE}/tokenizer_config.json",
        f"{STAGE}/vocab.json",
    ]
    assert keys(listed(door, f"list-type=2&start-after={STAGE}/v")) == [f"{STAGE}/vocab.json"]


def test_what_is_said_back_is_encoded_where_that_is_wanted(door: World) -> None:
    """A prefix may hold what XML cannot."""
    tree = listed(door, "list-type=2&encoding-type=url&prefix=%01%20%26&delimiter=%3C")
    assert (tree.findtext("Prefix"), tree.findtext("Delimiter")) == ("%01%20%26", "%3C")
    assert keys(tree) == []
    assert listed(door, "list-type=2&prefix=%01%26&delimiter=%3C").findtext("Delimiter") == "<"


def test_a_checkpoint_is_listed_by_its_name(door: World) -> None:
    """The older one's files are not among those of main: a copy of the folder is one copy."""
    checkpoints = door.api("GET", f"/stages/{STAGE}/checkpoints").json["items"]
    older = checkpoints[-1]["id"]
    assert len(checkpoints) == 2
    for prefix in (f"{STAGE}@{older}/", f"{STAGE}@{older}"):
        found = keys(listed(door, f"list-type=2&prefix={quote(prefix)}"))
        assert found
        assert all(key.startswith(f"{STAGE}@{older}/") for key in found)
    answer = s3.get(door, s3.key_of(door), s3.path_of(found[0]))
    assert answer.status_code == 200
    assert door.records("download")[-1]["checkpoint"] == older
    unknown = quote(f"{STAGE}@{'0' * 40}/")
    assert keys(listed(door, f"list-type=2&prefix={unknown}")) == []


def test_an_alias_lists_under_the_name_that_was_asked_for(door: World) -> None:
    """Or a tool would not find its own prefix in the answer; every key in it can be fetched."""
    for prefix in ("gpt-2/762M/", "gpt-2/762M"):
        found = keys(listed(door, f"list-type=2&prefix={prefix}", stage="gpt-2/762M"))
        assert found
        assert all(key.startswith("gpt-2/762M/") for key in found)
    assert s3.get(door, s3.key_of(door, stage="gpt-2/774M"), s3.path_of(found[0])).status_code == 200
    assert all(key.startswith("gpt-2/774M/") for key in keys(listed(door, "list-type=2", stage="gpt-2/762M")))


def test_an_etag_is_the_file_s_hash(door: World) -> None:
    """And dates are as S3 writes them."""
    tree = listed(door, "list-type=2")
    known = {file["path"]: file for file in door.api("GET", f"/stages/{STAGE}/checkpoints/main").json["files"]}
    for item in tree.iter("Contents"):
        file = known[unquote(item.findtext("Key")).removeprefix(f"{STAGE}/")]
        assert (item.findtext("ETag"), item.findtext("Size")) == (f'"{file["sha256"]}"', str(file["size_bytes"]))
        assert item.findtext("LastModified").endswith(".000Z")
