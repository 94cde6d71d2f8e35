"""Models and stages: add, move, announce, list."""

import click

from server.cli.terminal import COUNT, LARGE_COUNT, Instance, acting, show, show_list, with_json
from server.domain.access import ladder
from server.domain.callers import Caller
from server.domain.release import stages
from server.domain.release.stages import StageState

LISTED_AT_MOST = 10_000


@click.group()
def stage() -> None:
    """Manage models and their stages."""


@stage.command("add-model")
@click.argument("name")
@click.option("--title", required=True, help="The name shown to people.")
@acting
def add_model(instance: Instance, caller: Caller, name: str, title: str) -> None:
    """Add the model NAME."""
    stages.add_model(instance.use, caller, name, title)
    show(False, {}, f"Added model {name}.")


@stage.command()
@click.argument("name", metavar="MODEL/STAGE")
@click.option("--tier", required=True, help="The tier that partners must be cleared for.")
@click.option("--agreement", help="The agreement that partners must have signed.")
@click.option("--ordinal", type=COUNT, help="Its position on the ladder [last].")
@click.option("--parameters", type=LARGE_COUNT, help="The number of parameters.")
@click.option("--announced", is_flag=True, help="Show its name and plan to everyone while it is planned.")
@click.option("--plan", help="The planned release, in words.")
@acting
def add(
    instance: Instance,
    caller: Caller,
    name: str,
    tier: str,
    agreement: str | None,
    ordinal: int | None,
    parameters: int | None,
    announced: bool,
    plan: str | None,
) -> None:
    """Add a planned stage."""
    added = stages.add(
        instance.use,
        caller,
        name,
        tier=tier,
        ordinal=ordinal,
        agreement=agreement,
        parameters=parameters,
        announced=announced,
        plan=plan,
    )
    show(False, {}, f"Added {name} as number {added.ordinal} on its ladder. Next: `publish DIR {name}`.")


@stage.command()
@click.argument("name", metavar="MODEL/STAGE")
@click.argument("alias")
@acting
def alias(instance: Instance, caller: Caller, name: str, alias: str) -> None:
    """Add ALIAS as another name of the stage."""
    stages.add_alias(instance.use, caller, name, alias)
    show(False, {}, f"{name} can now also be found as {alias}.")


@stage.command()
@click.argument("name", metavar="MODEL/STAGE")
@click.argument("to", type=click.Choice([str(state) for state in StageState if state is not StageState.PLANNED]))
@click.option("--rationale", required=True, help="The reason, recorded in the log.")
@acting
def move(instance: Instance, caller: Caller, name: str, to: str, rationale: str) -> None:
    """Move a stage to its next state, or withdraw it permanently."""
    stages.move(instance.use, caller, name, StageState(to), rationale)
    show(False, {}, f"{name} is now {to}.")


@stage.command()
@click.argument("name", metavar="MODEL/STAGE")
@click.option("--announced/--not-announced", required=True, help="Whether everyone can see its name and plan.")
@click.option("--plan", help="The plan, in words [none].")
@acting
def announce(instance: Instance, caller: Caller, name: str, announced: bool, plan: str | None) -> None:
    """Show or hide a planned stage's name and plan."""
    stages.announce(instance.use, caller, name, announced=announced, plan=plan)
    show(False, {}, f"{name} is {'announced' if announced else 'not announced'}.")


@stage.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:
    """List the stages you can see."""
    with instance.use.database.reading() as session:
        known = ladder.ladders(session, instance.use, caller, at_most=LISTED_AT_MOST)
    found = [step.stage for one in sorted(known, key=lambda one: one.model) for step in one.steps]
    rows = [(s.full_name, s.state, s.held, s.tier, s.agreement, s.plan) for s in found]
    show_list(as_json, ("stage", "state", "held", "tier", "agreement", "plan"), rows)


COMMANDS = [stage]
