"""Store readers: which download an identity in the store's access log belongs to, where the store made its keys."""

import re

from server.domain.downloads import issuing
from server.settings import ROLE_ARN, Settings


class StoreReaders:
    """Knows sessions of our role: each is called as its download is, and nobody else can begin one."""

    def __init__(self, settings: Settings) -> None:
        role = ROLE_ARN.fullmatch(settings.sts_role_arn or "")
        self._session: re.Pattern[str] | None = None
        if role is not None:
            account, name = re.escape(role["account"]), re.escape(role["name"])
            named = rf"arn:aws[a-z-]*:sts::{account}:assumed-role/{name}/({issuing.ID.pattern})"
            self._session = re.compile(named)

    def download_of(self, by: str) -> str | None:
        """The download whose keys an identity read with; None for every other identity."""
        found = None if self._session is None else self._session.fullmatch(by)
        return None if found is None else found[1]
