"""What tests of the registry protocol ask for."""

import base64
from typing import Any

from tests.world import World

REPOSITORY = "/v2/gpt-2/774m"


def basic(password: str, user: str = "any") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def manifest(world: World, reference: str = "main", repository: str = REPOSITORY) -> Any:
    answer = world.ask("GET", f"{repository}/manifests/{reference}")
    assert answer.status_code == 200, answer.text
    return answer


def layer(world: World, path: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        one
        for one in manifest(world).get_json()["layers"]
        if one["annotations"]["org.opencontainers.image.title"] == path
    )
    return found
