"""A stage's totals: counted by the worker or not yet, each download once; and each refusal by the access rule."""

from server.domain.delivery import stage_totals, statistics
from server.domain.delivery.stage_totals import StageTotals
from server.domain.downloads import issuing
from tests.world import World


def totals(world: World, stage: str = "gpt-2/774M") -> StageTotals:
    with world.use.database.reading() as session:
        return stage_totals.of(session, stage)


def test_a_download_counts_once_however_far_it_has_come(world: World) -> None:
    """Unsealed, sealed, and counted by the worker."""
    for number in (1, 2):
        issuing.issue(world.use, world.caller("cleared"), world.order())
        assert totals(world).downloads == 2 * number - 1
        world.seal()
        assert totals(world).downloads == 2 * number - 1
        statistics.count(world.use)
        assert totals(world).downloads == 2 * number - 1
        issuing.issue(world.use, world.caller("cleared"), world.order())
    assert totals(world, "gpt-2/355M").downloads == 0


def test_a_refusal_is_counted_under_the_stage_s_own_name(world: World) -> None:
    """By whatever alias it was asked for; what is refused before a stage is known is no stage's."""
    for path in (
        "/stages/gpt-2/774M/checkpoints",
        "/stages/gpt-2/762M/checkpoints",
        "/stages/gpt-2/355M/checkpoints/x",
    ):
        world.api("GET", path, "uncleared")
    world.api("GET", "/stages/gpt-2/9B/checkpoints", "uncleared")
    assert totals(world).refusals == 2
    assert totals(world, "gpt-2/355M").refusals == 0
