"""Stages: what a stage is, its checkpoints and their files, and the ways to download them."""

from typing import Any

from flask import Blueprint, Response, request
from wtforms import StringField
from wtforms.validators import InputRequired, Length

from server.domain.access import ladder, rule
from server.domain.access.ladder import Step
from server.domain.callers import Caller
from server.domain.downloads import issuing, tool_keys
from server.domain.downloads.issuing import Order
from server.domain.identity import s3_keys
from server.domain.permissions import Permission
from server.domain.publish import checkpoints, descriptions
from server.domain.publish.checkpoints import MANIFEST_TYPE, FileList, ManifestForm
from server.web import client_wheel, renamed
from server.web.api import curl_config, sha256sums
from server.web.identity import resources
from server.web.portal.kit import paging
from server.web.portal.kit.auth import page
from server.web.portal.kit.forms import Form, status
from server.web.portal.kit.markdown import as_html
from server.web.portal.kit.rendering import go_to, render, saved
from server.web.portal.partner import checklists
from server.web.portal.partner import ladder as words

bp = Blueprint("stage_pages", __name__, url_prefix="/stages/<model>/<stage>")
# The doors to all files at once: each has a template in templates/stages/doors, shown in this order.
DOORS = ("weightgate", "hub", "s3", "oci", "curl", "wget")
SUMS_SHOWN_AT_MOST = 40  # files whose hashes stand in the command itself; of more there is a file to save


class FileForm(Form):
    """Which file of the checkpoint; a hidden field beside its button."""

    path = StringField("File", [InputRequired(), Length(max=512)])


@bp.get("")
@page(Permission.STAGE_READ)
def show(caller: Caller, model: str, stage: str) -> Response:
    """What a stage is, and its checkpoints where the caller may see them."""
    use = resources()
    with use.database.reading() as session:
        step = ladder.step(session, use, caller, f"{model}/{stage}")
        if moved := renamed.todays_page(step.full_name):
            return moved
        may_read = step.refused is None or caller.is_staff
        listed = checkpoints.published(session, step.stage.id, paging.part()) if may_read else None
        main = step.stage.main_checkpoint_id  # none of a planned stage, except to staff
        shows_totals = use.settings.sizes_before_access and not may_read
        totals = checkpoints.totals(session, main) if shows_totals and main is not None else None
        shows_card = may_read or use.settings.card_before_access
        described = descriptions.of(session, main) if shows_card and main is not None else {}
    return render(
        "partner/stages/show.html",
        listed=listed,
        totals=totals,
        card=as_html(described["card"]) if "card" in described else None,
        license=described.get("license"),
        args=request.args,
        **_about(step, caller),
    )


@bp.get("/<checkpoint>")
@page(Permission.CHECKPOINT_READ)
def checkpoint(caller: Caller, model: str, stage: str, checkpoint: str) -> Response:
    """One checkpoint, with its files."""
    step, listed = _read(caller, f"{model}/{stage}", checkpoint)
    if moved := renamed.todays_page(step.full_name):
        return moved
    return render("partner/stages/checkpoint.html", listed=listed, **_about(step, caller))


@bp.get("/<checkpoint>/commands")
@page(Permission.CHECKPOINT_READ)
def commands(caller: Caller, model: str, stage: str, checkpoint: str) -> Response:
    """How to download all files: a section for each door."""
    step, listed = _read(caller, f"{model}/{stage}", checkpoint)
    if moved := renamed.todays_page(step.full_name):
        return moved
    return render(
        "partner/stages/commands.html",
        listed=listed,
        doors=[door for door in DOORS if door != "oci" or resources().settings.oci_door],
        s3=_s3_place(step, listed),
        for_workloads=bool(resources().settings.workload_issuers) and caller.may(Permission.TRUST_RECORD_MANAGE),
        client_wheel=client_wheel.address(),
        leave_out_complete=curl_config.LEAVE_OUT_COMPLETE,
        with_wget=curl_config.WITH_WGET,
        sums=sha256sums.render(listed.files.values()) if len(listed.files) <= SUMS_SHOWN_AT_MOST else None,
        needs_token=step.stage.state != "public" or resources().settings.public_stages_need_sign_in,
        **_about(step, caller),
    )


@bp.post("/<checkpoint>/files")
@page(Permission.DOWNLOAD_CREATE)
def download(caller: Caller, model: str, stage: str, checkpoint: str) -> Response:
    """Issue one file: the answer leads the browser to its signed URL."""
    form = FileForm()
    if not form.is_sent_well():
        step, listed = _read(caller, f"{model}/{stage}", checkpoint)
        return render("partner/stages/checkpoint.html", status(form), listed=listed, form=form, **_about(step, caller))
    order = Order(f"{model}/{stage}", checkpoint, [str(form.path.data)], for_browser=True)
    issued = issuing.issue(resources(), caller, order)
    renamed.tell(order.stage, issued.stage)
    return go_to(issued.urls[0])


@bp.get("/<checkpoint>/manifest")
@page(Permission.CHECKPOINT_READ)
def manifest(caller: Caller, model: str, stage: str, checkpoint: str) -> Response:
    """The signed manifest, byte for byte."""
    return _manifest(caller, f"{model}/{stage}", checkpoint, ManifestForm.FILES)


@bp.get("/<checkpoint>/manifest/chunks")
@page(Permission.CHECKPOINT_READ)
def manifest_chunks(caller: Caller, model: str, stage: str, checkpoint: str) -> Response:
    """The same with a digest every 64 MiB."""
    return _manifest(caller, f"{model}/{stage}", checkpoint, ManifestForm.CHUNKS)


@bp.get("/<checkpoint>/SHA256SUMS")
@page(Permission.CHECKPOINT_READ)
def sums(caller: Caller, model: str, stage: str, checkpoint: str) -> Response:
    """Every file's hash, as `sha256sum --check` reads it."""
    step, listed = _read(caller, f"{model}/{stage}", checkpoint)
    if moved := renamed.todays_page(step.full_name):
        return moved
    return saved(sha256sums.render(listed.files.values()), sha256sums.MIME_TYPE, "SHA256SUMS")


def _read(caller: Caller, stage: str, checkpoint: str) -> tuple[Step, FileList]:
    """A stage and a checkpoint's files. No file is named to whoever lacks clearance: this raises first."""
    use = resources()
    with use.database.reading() as session:
        _, listed = rule.require_reading(session, use, caller, stage, checkpoint)
        return ladder.step(session, use, caller, stage), listed


def _about(step: Step, caller: Caller) -> dict[str, Any]:
    """What every page of a stage shows."""
    at = resources().clock()
    return {
        "step": step,
        "stage": step.stage,
        "state": (str(step.stage.state), step.stage.held),
        "href": words.address(step),
        "reason": words.reason(step, caller),
        "next": words.next_of(step, caller),
        "since": words.since(step),
        "when": step.stage.plan.when(step.stage.state, at),
        "parameters": words.parameters(step),
        "ends_soon": words.ends_soon(step, at),
        "may_issue": step.refused is None and caller.may(Permission.DOWNLOAD_CREATE),
        "lifetime_seconds": resources().settings.url_lifetime_seconds,
        "renew": None if step.renewal_id else step.clearance_id,
        "checklist": next(iter(checklists.of([step], caller)), None),
    }


def _s3_place(step: Step, listed: FileList) -> dict[str, Any] | None:
    """Where S3 tools find the files, if they get keys here as the page says. files: of this checkpoint."""
    use, name = resources(), f"{step.full_name}@{listed.checkpoint_id}"
    made = use.settings
    if made.s3_door == "off" or not made.container_credentials:
        return None
    if made.s3_door == "proxy":
        bucket = s3_keys.BUCKET
        return {"endpoint": made.s3_door_url, "files": f"{bucket}/{name}", "newest": f"{bucket}/{step.full_name}"}
    file = next(iter(listed.files.values()))
    files = f"{made.s3_bucket}/{file.stored.key.removesuffix(f'/{file.path}')}"
    stage = f"{step.stage.name}@{listed.checkpoint_id}"
    return {"endpoint": tool_keys.endpoint(use), "region": made.s3_region, "files": files, "stage": stage,
            "seconds": made.s3_key_lifetime_seconds}  # fmt: skip


def _manifest(caller: Caller, stage: str, checkpoint: str, form: ManifestForm) -> Response:
    use = resources()
    with use.database.reading() as session:
        full_name, listed = rule.require_reading(session, use, caller, stage, checkpoint)
        content = checkpoints.manifest(session, listed.checkpoint_pk, form)
    if moved := renamed.todays_page(full_name):
        return moved
    name = f"{listed.checkpoint_id}.{'manifest' if form is ManifestForm.FILES else 'chunks'}.json"
    return saved(content, MANIFEST_TYPE, name)
