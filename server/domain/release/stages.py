"""Models and their stages: what is released in which order, in which state, to which tier, under which agreement."""

import re
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, Session, contains_eager, joinedload, mapped_column, relationship

from server.domain import acts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.permissions import Permission
from server.domain.release import agreements, plans, tiers
from server.domain.release.agreements import Agreement
from server.domain.release.plans import Plan, Window
from server.domain.release.stage_states import REPORTS_AT_MOST as REPORTS_AT_MOST
from server.domain.release.stage_states import StageState as StageState
from server.domain.release.tiers import Tier
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment

# What the Hugging Face client accepts as one part of a repository's name, so that every stage can be one.
NAME = re.compile(r"(?!.*(--|\.\.))(?!.*\.git$)[A-Za-z0-9]([A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
FIRST_SEGMENTS = {
    ".well-known", "account", "admin", "agreements", "api", "appearance", "audit", "checkpoints", "client", "datasets",
    "device", "downloads", "find", "findings", "healthz", "help", "invitations", "kernels", "log", "mails", "metrics",
    "models", "organizations", "password", "people", "readyz", "releases", "releases.atom", "requests", "s3-door",
    "sessions", "sign-in", "sign-out", "spaces", "stages", "static", "sts", "tokens", "trust-records", "v2",
}  # fmt: skip
NOT_MODELS = FIRST_SEGMENTS | {"everything", "doctor"}  # what a hold on everything is called; `storage/probes.py`
ORDINAL_AT_MOST = 1_000_000
STAGE_WORDS = {"resolve", "tree", "raw", "refs", "commit", "commits", "revision", "blob", "discussions"}

MOVES = {
    StageState.PLANNED: {StageState.PARTNERS, StageState.PUBLIC, StageState.WITHDRAWN},
    StageState.PARTNERS: {StageState.PUBLIC, StageState.WITHDRAWN},
    StageState.PUBLIC: {StageState.PARTNERS, StageState.WITHDRAWN},  # what is out is out, but no more is issued
    StageState.WITHDRAWN: set(),
}
OPENING = {  # moves after which somebody can download who could not before
    (StageState.PLANNED, StageState.PARTNERS), (StageState.PLANNED, StageState.PUBLIC),
    (StageState.PARTNERS, StageState.PUBLIC),
}  # fmt: skip


class Holdable:
    """Something that a hold can be placed on. Its rows always exist, because an absent row cannot be locked against a
    hold that is placed while a download is being decided."""

    held_at: Mapped[datetime | None] = mapped_column(Moment)
    held_by: Mapped[str | None] = mapped_column(String(254))
    hold_reason: Mapped[str | None] = mapped_column(Text)


class Everything(Holdable, Base):
    """The one row for "stop everything"."""

    __tablename__ = "everything"
    id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)


class Model(Holdable, Base):
    """A family released in stages."""

    __tablename__ = "models"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(String(96), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(Moment)


class Stage(Holdable, Base):
    """One step of a model's release."""

    __tablename__ = "stages"
    __table_args__ = (UniqueConstraint("model_id", "name"), UniqueConstraint("model_id", "ordinal"))
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    name: Mapped[str] = mapped_column(String(96))
    ordinal: Mapped[int]
    parameters: Mapped[int | None] = mapped_column(Key)
    state: Mapped[StageState] = mapped_column(String(16))
    state_since: Mapped[datetime] = mapped_column(Moment)
    announced: Mapped[bool] = mapped_column(default=False)
    planned_from: Mapped[str | None] = mapped_column(String(7))  # a month, 2026-11; None while that is undecided
    planned_until: Mapped[str | None] = mapped_column(String(7))
    note: Mapped[str | None] = mapped_column(String(plans.NOTE_CHARACTERS_AT_MOST))  # for everybody who sees the stage
    reports_at_least: Mapped[int] = mapped_column(default=0)  # of partners, before a decision may open it further
    tier_id: Mapped[int] = mapped_column(ForeignKey("tiers.id"))
    agreement_id: Mapped[int | None] = mapped_column(ForeignKey("agreements.id"))
    main_checkpoint_id: Mapped[int | None] = mapped_column(Key)  # the newest published one
    created_at: Mapped[datetime] = mapped_column(Moment)
    model: Mapped[Model] = relationship()
    tier: Mapped[Tier] = relationship()
    agreement: Mapped[Agreement | None] = relationship()

    @property
    def full_name(self) -> str:
        return f"{self.model.name}/{self.name}"

    @property
    def plan(self) -> Plan:
        return plans.of(self.planned_from, self.planned_until, self.note)

    def plan_for(self, window: Window | None) -> None:
        """Set the months of its next step; None for undecided."""
        self.planned_from, self.planned_until = (None, None) if window is None else (window.first, window.last)


class StageAlias(Base):
    """Another name that keeps working after a stage was renamed: 762M → 774M."""

    __tablename__ = "stage_aliases"
    __table_args__ = (UniqueConstraint("model_id", "name"),)
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    name: Mapped[str] = mapped_column(String(96))
    stage_id: Mapped[int] = mapped_column(ForeignKey("stages.id"))


def add_model(use: Resources, caller: Caller, name: str, title: str) -> Model:
    """Add a model. Its name is the first part of addresses, so names that are routes are refused."""
    caller.require(Permission.STAGE_MANAGE)
    if not NAME.fullmatch(name) or name.lower() in NOT_MODELS:
        raise InvalidRequest(
            f"{name!r} is not a valid model ID. Use letters, digits, '.', '_' and '-', and no reserved name."
        )
    if not title.strip() or len(title) > 200:
        raise InvalidRequest("Enter the model's title, in 200 characters or fewer.")
    with use.database.transaction() as session:
        if session.scalar(select(Model.id).where(func.lower(Model.name) == name.lower())):
            raise NotPossible(f"A model {name} already exists.")
        model = Model(name=name, title=title.strip(), created_at=use.clock())
        session.add(model)
        session.flush()
        _record(session, caller, EntryKind.MODEL_ADD, name, model.created_at, title=model.title)
        return model


def add(
    use: Resources,
    caller: Caller,
    full_name: str,
    *,
    tier: str,
    ordinal: int | None = None,
    agreement: str | None = None,
    parameters: int | None = None,
    announced: bool = False,
    planned: Window | None = None,
    note: str | None = None,
    reports_at_least: int = 0,
) -> Stage:
    """Add a planned stage. ordinal: its place on the ladder, None for the next one."""
    caller.require(Permission.STAGE_MANAGE)
    model_name, name = split(full_name)
    _require_stage_name(name)
    _require_in_bounds(ordinal, parameters, reports_at_least)
    note = plans.require_note(note)
    with use.database.transaction() as session:
        model = get_model(session, model_name)
        _require_free(session, model, name)
        at = use.clock()
        stage = Stage(
            model=model, name=name, ordinal=free_ordinal(session, model, ordinal), parameters=parameters,
            state=StageState.PLANNED, state_since=at, announced=announced, note=note,
            tier=tiers.get(session, tier), created_at=at, reports_at_least=reports_at_least,
            agreement=agreements.get(session, agreement) if agreement else None,
        )  # fmt: skip
        stage.plan_for(planned)
        session.add(stage)
        session.flush()
        _record(
            session, caller, EntryKind.STAGE_ADD, stage.full_name, at,
            tier=tier, agreement=agreement, announced=announced, ordinal=stage.ordinal,
            planned=plans.as_text(planned), note=note, reports_at_least=reports_at_least,
        )  # fmt: skip
        return stage


def add_alias(use: Resources, caller: Caller, full_name: str, alias: str) -> None:
    """Let a stage be found under another name as well."""
    caller.require(Permission.STAGE_MANAGE)
    _require_stage_name(alias)
    with use.database.transaction() as session:
        stage = get(session, full_name)
        _require_free(session, stage.model, alias)
        session.add(StageAlias(model_id=stage.model_id, name=alias, stage_id=stage.id))
        _record(session, caller, EntryKind.STAGE_ALIAS, stage.full_name, use.clock(), alias=alias)


def get(session: Session, full_name: str, *, lock: bool = False) -> Stage:
    """Find a stage by `model/stage`, or by an alias. Raises NotFound."""
    model_name, name = split(full_name)
    found = (
        select(Stage)
        .join(Stage.model)
        .outerjoin(StageAlias, (StageAlias.stage_id == Stage.id) & (StageAlias.name == name))
        .where(Model.name == model_name, (Stage.name == name) | (StageAlias.name == name))
        .options(contains_eager(Stage.model))
    )
    stage = session.scalar(found.with_for_update(of=Stage) if lock else found)
    if stage is None:
        raise NotFound(f"There is no stage {full_name}.")
    return stage


def all_models(session: Session, caller: Caller) -> Sequence[Model]:
    """Every model, in the order in which they were added: there are few. For staff alone: not all are announced."""
    caller.require(Permission.STAGE_READ)
    return session.scalars(select(Model).order_by(Model.id)).all() if caller.is_staff else []


def find(session: Session, caller: Caller, full_name: str) -> Stage:
    """Any stage; for staff alone, since others ask the access rule. Raises NotFound."""
    caller.require(Permission.STAGE_READ)
    if not caller.is_staff:
        raise NotFound(f"There is no stage {full_name}.")
    return get(session, full_name)


def get_model(session: Session, name: str, *, lock: bool = False) -> Model:
    """Raises NotFound."""
    query = select(Model).where(Model.name == name)
    model = session.scalar(query.with_for_update() if lock else query) if NAME.fullmatch(name) else None
    if model is None:
        raise NotFound(f"There is no model {name}. Add it first.")
    return model


def opened_by(session: Session, model: Model, tier: Tier) -> Sequence[Stage]:
    """The stages that a clearance is needed for and this one opens, now or once they are released to partners."""
    query = select(Stage).join(Stage.tier).where(Stage.model_id == model.id, Tier.rank <= tier.rank)
    query = query.where(Stage.state.in_([StageState.PLANNED, StageState.PARTNERS]))
    return session.scalars(query.options(joinedload(Stage.model)).order_by(Stage.ordinal)).all()


def aliases(session: Session, stage: Stage) -> Sequence[str]:
    """The other names under which a stage is found."""
    return session.scalars(select(StageAlias.name).where(StageAlias.stage_id == stage.id).order_by(StageAlias.id)).all()


def require_ordinal(ordinal: int | None) -> None:
    """Raise InvalidRequest for a position that no ladder can have."""
    if ordinal is not None and not 0 < ordinal <= ORDINAL_AT_MOST:
        raise InvalidRequest(f"A position is a whole number from 1 to {ORDINAL_AT_MOST}.")


def free_ordinal(session: Session, model: Model, wanted: int | None) -> int:
    """The position that is wanted, or the one after the last. Raises NotPossible where another stage has it.

    The model's row is locked before, so that two who want one at the same moment come one after the other.
    """
    taken = set(session.scalars(select(Stage.ordinal).where(Stage.model_id == model.id)))
    if wanted in taken:
        raise NotPossible(f"Another stage of {model.name} already has position {wanted}.")
    return wanted or max(taken, default=0) + 1


def split(full_name: str) -> tuple[str, str]:
    """Return model and stage. Raises NotFound: what is no name is the name of nothing."""
    model, separator, stage = full_name.partition("/")
    if not separator or not NAME.fullmatch(model) or not NAME.fullmatch(stage):
        raise NotFound("Write a stage as model/stage, for example gpt-2/774M.")
    return model, stage


def spelled(session: Session, full_name: str) -> str:
    """The name of a stage or an alias as it was given, from any spelling of its letters; what is no name stays."""
    try:
        parts = split(full_name.lower())
    except NotFound:
        return full_name
    every = select(Stage.model_id, Stage.name).union_all(select(StageAlias.model_id, StageAlias.name)).subquery()
    found = select(Model.name, every.c.name).join(every, every.c.model_id == Model.id)
    row = session.execute(found.where(func.lower(Model.name) == parts[0], func.lower(every.c.name) == parts[1])).first()
    return full_name if row is None else "/".join(row)


def _require_stage_name(name: str) -> None:
    if not NAME.fullmatch(name) or name.lower() in STAGE_WORDS:
        raise InvalidRequest(f"{name!r} is not a valid stage name. Use letters, digits, '.', '_' and '-'.")


def require_reports(at_least: int | None) -> None:
    """Raise InvalidRequest for a number of reports that a stage cannot wait for; None is none given."""
    if at_least is not None and not 0 <= at_least <= REPORTS_AT_MOST:
        raise InvalidRequest(f"A stage can wait for 0 to {REPORTS_AT_MOST} reports.")


def _require_in_bounds(ordinal: int | None, parameters: int | None, reports_at_least: int) -> None:
    require_ordinal(ordinal)
    require_reports(reports_at_least)
    if parameters is not None and not 0 < parameters < 2**53:
        raise InvalidRequest("The number of parameters must be greater than 0 and less than 2^53.")


def _require_free(session: Session, model: Model, name: str) -> None:
    session.refresh(model, with_for_update=True)  # two who add at the same moment cannot take one name for two stages
    names = select(func.lower(Stage.name)).where(Stage.model_id == model.id)
    aliases = select(func.lower(StageAlias.name)).where(StageAlias.model_id == model.id)
    if name.lower() in {*session.scalars(names), *session.scalars(aliases)}:
        raise NotPossible(f"{model.name}/{name} is already a stage or an alias.")


def _record(session: Session, caller: Caller, kind: EntryKind, subject: str, at: datetime, **more: object) -> None:
    record = {"actor": caller.as_record(), "stage": subject, **more}
    acts.append(session, kind, at, record)
