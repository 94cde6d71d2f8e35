"""A store that makes keys, for tests that are about what we do with them: STS is asked in one place, and remembered."""

from dataclasses import dataclass, field
from datetime import timedelta

from server.storage.keys import S3Credentials
from server.storage.object_errors import ObjectStoreUnavailable
from server.storage.store_sessions import StoreSession
from tests.world import World

ROLE = "arn:aws:iam::123456789012:role/downloads"


@dataclass
class Sessions:
    """What the store was asked for. log: what the log held at that moment. fails: it makes none."""

    world: World
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    log: list[list[str]] = field(default_factory=list)
    fails: bool = False
    longer: timedelta = timedelta(0)

    def begin(self, prefix: str, name: str, seconds: int) -> StoreSession:
        self.asked.append((prefix, name, seconds))
        self.log.append([record["download"] for record in self.world.records("download")])
        if self.fails:
            raise ObjectStoreUnavailable("away")
        ends = self.world.clock() + timedelta(seconds=seconds) + self.longer
        return StoreSession(S3Credentials(f"ASIA{len(self.asked)}", "s3cr3t", "the store's token"), ends)

    def close(self) -> None:
        """Nothing is open."""


def open_door(world: World, **more: object) -> Sessions:
    """Let the world's store make the keys."""
    update = {"s3_door": "sts", "sts_role_arn": ROLE, "embedded_store": False, **more}
    world.use.settings = world.use.settings.model_copy(update=update)
    made = Sessions(world)
    world.use.__dict__["sessions"] = made
    return made
