"""Stage states: their names, for options and pages that need nothing else of stages."""

from enum import StrEnum


class StageState(StrEnum):
    """How far a stage is released. A hold is placed over a state and keeps it."""

    PLANNED = "planned"
    PARTNERS = "partners"
    PUBLIC = "public"
    WITHDRAWN = "withdrawn"
