"""The table of all routes, `matrix.txt`: which permission each declares, and what a foreign id gives there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.domain.permissions import POLICY, Permission, Role


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    method: str
    rule: str
    permission: Permission | None
    foreign: str

    @property
    def names_a_stage(self) -> bool:
        return "<stage>" in self.rule

    def address(self, known: dict[str, Any]) -> str:
        return re.sub(r"<(?:\w+:)?(\w+)>", lambda match: str(known[match[1]]), self.rule)

    def refuses(self, role: Role | None) -> bool:
        """Whether the policy gives the permission to nobody of this role."""
        if self.permission is None:
            return False
        rule = POLICY[self.permission]
        return not rule.anonymous if role is None else role not in rule.roles


def rows() -> Iterator[Row]:
    for line in (Path(__file__).parent / "matrix.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            method, rule, permission, foreign = line.split()
            yield Row(method, rule, None if permission == "-" else Permission(permission), foreign)


ROWS = list(rows())
FOR_PROGRAMS = ("/api/", "/<model>/", "/datasets/", "/spaces/", "/v2/")
OF_S3 = ("/s3-door/", "/sts")  # who asks there is told otherwise, and tests/web/s3 tries it
ELSEWHERE = ("/client/", "/log/", "/healthz", "/readyz", "/.well-known/")
PAGES = [row for row in ROWS if not row.rule.startswith((*FOR_PROGRAMS, *OF_S3, *ELSEWHERE))]
API = [row for row in ROWS if row.rule.startswith(FOR_PROGRAMS)]
