"""Stage states: their names, and a bound, for options and pages that need nothing else of stages."""

from enum import StrEnum

REPORTS_AT_MOST = 1000


class StageState(StrEnum):
    """How far a stage is released. A hold is placed over a state and keeps it."""

    PLANNED = "planned"
    PARTNERS = "partners"
    PUBLIC = "public"
    WITHDRAWN = "withdrawn"
