"""Partners' browsers, all on one app: making an app costs more than a page does."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.visits import Visit, visit
from tests.world import World


def at(world: World, name: str | None) -> Visit:
    """A browser that is signed in as a person of the demo; None: nobody."""
    return visit(world.client.application, world.use, None if name is None else world.example.people[name]["email"])


def twice_at_once(world: World, name: str, path: str, fields: dict[str, Any]) -> list[int]:
    """Send one form from two of a person's windows at the same moment; the answers' statuses, sorted."""
    visits = [at(world, name) for _ in range(2)]
    tokens = [visit.csrf_token for visit in visits]
    with ThreadPoolExecutor(2) as pool:
        sent = [pool.submit(visit.post, path, fields, csrf=csrf) for visit, csrf in zip(visits, tokens, strict=True)]
        return sorted(answer.result().status_code for answer in sent)
