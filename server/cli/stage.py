"""Models and stages: add, edit, list, show."""

from typing import Any, cast

import click
from click.core import ParameterSource
from sqlalchemy.orm import Session

from server.cli.terminal import COUNT, LARGE_COUNT, STAGE, Instance, acting, show, show_list, show_one, with_json
from server.domain.access import ladder
from server.domain.access.ladder import Ladder, Step
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotFound
from server.domain.publish import checkpoints
from server.domain.release import plans, stage_editing, stages
from server.domain.release.plans import Window
from server.domain.release.stage_editing import Changes
from server.domain.release.stage_states import REPORTS_AT_MOST
from server.domain.resources import Resources

ALL = 2**31 - 2  # stages: a limit that no instance reaches


class PlannedWindow(click.ParamType[Window | None]):
    """Months: 2026-11..2027-01, 2026-11, or undecided."""

    name = "months"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Window | None:
        try:
            return plans.parse(str(value))
        except InvalidRequest as error:
            self.fail(error.detail, param, ctx)


WINDOW = PlannedWindow()
REPORTS = click.IntRange(0, REPORTS_AT_MOST)


@click.group()
def stage() -> None:
    """Manage models and their stages."""


@stage.command("add-model")
@click.argument("name")
@click.option("--title", required=True, help="The name shown to people.")
@with_json
@acting
def add_model(instance: Instance, caller: Caller, name: str, title: str, as_json: bool) -> None:
    """Add the model NAME."""
    stages.add_model(instance.use, caller, name, title)
    show(as_json, {"model": name, "title": title}, f"Added model {name}.")


@stage.command()
@click.argument("name", type=STAGE, metavar="MODEL/STAGE")
@click.option("--tier", required=True, help="The tier that partners must be cleared for.")
@click.option("--agreement", help="The agreement that partners must have signed.")
@click.option("--ordinal", type=COUNT, help="Its position on the ladder [last].")
@click.option("--parameters", type=LARGE_COUNT, help="The number of parameters.")
@click.option("--announced", is_flag=True, help="Show its name and plan to everyone while it is planned.")
@click.option("--planned", type=WINDOW, help="The months of its release, 2026-11..2027-01 [undecided].")
@click.option("--note", help="A public note.")
@click.option(
    "--reports-at-least", type=REPORTS, default=0, help="Reports by partners it must have to become public [0]."
)
@with_json
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
    planned: Window | None,
    note: str | None,
    reports_at_least: int,
    as_json: bool,
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
        planned=planned,
        note=note,
        reports_at_least=reports_at_least,
    )
    body = {"stage": name, "ordinal": added.ordinal, "state": added.state}
    show(as_json, body, f"Added {name} as number {added.ordinal} on its ladder. Next: `publish FOLDER {name}`.")


@stage.command()
@click.argument("name", type=STAGE, metavar="MODEL/STAGE")
@click.argument("alias")
@with_json
@acting
def alias(instance: Instance, caller: Caller, name: str, alias: str, as_json: bool) -> None:
    """Add ALIAS as another name of the stage."""
    stages.add_alias(instance.use, caller, name, alias)
    show(as_json, {"stage": name, "alias": alias}, f"{name} can now also be found as {alias}.")


@stage.command()
@click.argument("name", type=STAGE, metavar="MODEL/STAGE")
@click.option("--announced/--not-announced", default=None, help="Whether everyone can see it while it is planned.")
@click.option("--planned", type=WINDOW, help="The months of its next step: 2026-11..2027-01, 2026-11, or undecided.")
@click.option("--note", help="The public note; an empty one removes it.")
@click.option("--reports-at-least", type=REPORTS, help="Reports by partners before it can be public.")
@click.option("--ordinal", type=COUNT, help="Its position on the ladder. Only while it is planned.")
@click.option("--tier", help="The tier that partners must be cleared for. Only while it is planned.")
@click.option("--agreement", help="The agreement that partners must have signed, or none. Only while it is planned.")
@with_json
@acting
def edit(instance: Instance, caller: Caller, name: str, as_json: bool, **options: Any) -> None:
    """Edit a stage's public details, or the position, tier and agreement of a planned one.

    Options that you omit change nothing.
    Another admin must approve fewer reports (see `proposal`).
    """
    source = click.get_current_context().get_parameter_source
    given = {key for key in options if source(key) is not ParameterSource.DEFAULT}
    if not given:
        raise click.UsageError("Say what to change: at least one option is needed.")
    if options["agreement"] == "none":
        options["agreement"] = None
    changes = cast(Changes, {key: options[key] for key in given})
    done = stage_editing.edit(instance.use, caller, name, **changes)
    edited, waits = done.stage, done.waits
    body = {
        "stage": edited.full_name, "announced": edited.announced, "planned": plans.as_text(edited.plan.window),
        "note": edited.note, "ordinal": edited.ordinal, "tier": edited.tier.name,
        "agreement": edited.agreement and edited.agreement.name, "reports_at_least": edited.reports_at_least,
        "proposal": waits and waits.id,
    }  # fmt: skip
    changed = sorted(given - {"reports_at_least"} if waits else given)
    told = [f"Changed {edited.full_name}: {', '.join(changed)}."] if changed else []
    if waits:
        told.append(
            f"{edited.full_name} waits for {edited.reports_at_least} reports as before. Another admin must approve "
            f"fewer: `proposal approve {waits.id}`."
        )
    show(as_json, body, "\n".join(told))


@stage.command("list")
@with_json
@acting
def list_(instance: Instance, caller: Caller, as_json: bool) -> None:
    """List the stages you can see."""
    with instance.use.database.reading() as session:
        known = ladder.ladders(session, instance.use, caller, at_most=ALL)
    found, at = (
        [step.stage for one in sorted(known, key=lambda one: one.model) for step in one.steps],
        instance.use.clock(),
    )
    rows = [(s.full_name, s.state, s.held, s.tier, s.agreement, s.plan.in_words(s.state, at)) for s in found]
    show_list(as_json, ("stage", "state", "held", "tier", "agreement", "plan"), rows)


@stage.command("show")
@click.argument("name", type=STAGE, metavar="MODEL/STAGE")
@with_json
@acting
def show_stage(instance: Instance, caller: Caller, name: str, as_json: bool) -> None:
    """Show a stage: its state, requirements, names and `main` checkpoint, and whether you can download it."""
    with instance.use.database.reading() as session:
        step = ladder.step(session, instance.use, caller, name)
        known = step.stage
        body = {
            "stage": known.full_name, "state": known.state, "state_since": known.state_since, "held": known.held,
            "tier": known.tier, "agreement": known.agreement, "ordinal": known.ordinal,
            "parameters": known.parameters, "announced": known.announced,
            "planned": plans.as_text(known.plan.window), "note": known.plan.note,
            "aliases": list(stages.aliases(session, stages.get(session, name))) if step.shown else [],
            "main": _main(session, instance.use, step) if caller.is_staff or step.refused is None else None,
            "may_download": step.refused is None, "refusal": step.refused.detail if step.refused else None,
        }  # fmt: skip
    show_one(as_json, body)


def _main(session: Session, use: Resources, step: Step) -> str | None:
    key = step.stage.main_checkpoint_id
    return None if key is None else checkpoints.file_list(session, use.database, key).checkpoint_id


@click.group()
def model() -> None:
    """List and show models. `stage add-model` adds one."""


@model.command("list")
@with_json
@acting
def list_models(instance: Instance, caller: Caller, as_json: bool) -> None:
    """List the models you can see."""
    found = _models(instance.use, caller)
    rows = [(one.model, one.title, len(one.steps)) for _, one in sorted(found.items())]
    show_list(as_json, ("model", "title", "stages"), rows)


@model.command("show")
@click.argument("name", metavar="MODEL")
@with_json
@acting
def show_model(instance: Instance, caller: Caller, name: str, as_json: bool) -> None:
    """Show a model: its title, and its stages from small to large."""
    found = _models(instance.use, caller).get(name)
    if found is None:
        raise NotFound(f"There is no model {name}.")
    names = [step.stage.name for step in found.steps]
    show_one(as_json, {"model": found.model, "title": found.title, "stages": names})


def _models(use: Resources, caller: Caller) -> dict[str, Ladder]:
    """Those that the caller may know of; to staff also the ones that have no stage yet."""
    with use.database.reading() as session:
        found = {one.name: Ladder(one.name, one.title, []) for one in stages.all_models(session, caller)}
        return found | {one.model: one for one in ladder.ladders(session, use, caller, at_most=ALL)}


COMMANDS = [stage, model]
