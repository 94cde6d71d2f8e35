"""The doors for tools as the doctor finds them: served as they should be, and leading elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from server.domain.operation import doctor
from server.storage.embedded import EmbeddedStore, free_port
from tests.e2e import s3_serving
from tests.e2e.s3_serving import ServedDoor


@pytest.fixture(scope="module")
def door(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, embedded_store: EmbeddedStore
) -> Iterator[ServedDoor]:
    yield from s3_serving.shared(request, tmp_path_factory.mktemp("doors"), embedded_store)


@contextmanager
def examined(door: ServedDoor, **changed: Any) -> Iterator[dict[str, doctor.Check]]:
    """What the doctor finds of the served instance, with some settings changed."""
    use = door.world.use
    known = use.settings
    use.settings = known.model_copy(update={"public_url": door.api, **changed})
    try:
        yield {check.name: check for check in doctor.examine(use)}
    finally:
        use.settings = known


def test_the_doctor_tries_the_doors(door: ServedDoor) -> None:
    """As a stranger would: the files', those where keys are had, and the registry."""
    with examined(door) as found:
        for name, said in (
            ("S3 door", "checks signatures"), ("S3 keys", "container credentials and web identity"),
            ("registry", "takes neither a wrong one nor a push"),
        ):  # fmt: skip
            assert found[name].ok, found[name].sentence
            assert said in found[name].sentence
    with examined(door, oci_door=False) as found:
        assert "not open" in found["registry"].sentence
    with examined(door, public_url=f"http://localhost:{free_port()}") as found:
        assert {found[name].sentence[:10] for name in ("S3 keys", "registry")} == {"not tried:"}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("S3 door", {"s3_door_url": "<api>"}), ("S3 keys", {"public_url": "<door>"}),
        ("registry", {"public_url": "<door>"}), ("registry", {"public_url": "<by number>"}),
        ("S3 keys", {"web_identity_credentials": False}),
    ],
)  # fmt: skip
def test_the_doctor_finds_doors_that_lead_elsewhere(door: ServedDoor, name: str, changed: dict[str, Any]) -> None:
    """To another server, to one that names itself otherwise, or to one that was started with other settings."""
    places = {"<api>": door.api, "<door>": door.endpoint, "<by number>": door.api.replace("localhost", "127.0.0.1")}
    with examined(door, **{key: places.get(value, value) for key, value in changed.items()}) as found:
        assert (found[name].ok, "not as it should" in found[name].sentence) == (False, True), found[name].sentence
