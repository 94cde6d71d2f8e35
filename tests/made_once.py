"""What costs every test the same and proves nothing anew: made once a process, or made cheaper."""

from collections.abc import Callable, Iterator
from typing import Any

import argon2
import pytest
from werkzeug.routing import Rule

from server.domain.identity import people

PASSWORDS_AT_FULL_COST = people._hasher  # what production uses; tests/domain/identity/test_people.py looks at it
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(scope="session", autouse=True)
def passwords_hashed_at_little_cost() -> Iterator[None]:
    """In this process; servers that tests start hash at full cost, and a hash says at which cost it was made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people, "_hasher", CHEAP)
        patch.setattr(people, "_NOBODY", CHEAP.hash("nobody has this password"))
        yield


@pytest.fixture(scope="session", autouse=True)
def addresses_compiled_once() -> Iterator[None]:
    """Werkzeug compiles two functions a route for every app, and a test has an app of its own.

    They hold the text of the rule and nothing of the app: converters are reached through the rule at each call.
    """
    compile_builder, known = Rule._compile_builder, dict[Any, Callable[..., tuple[str, str]]]()

    def compiled_once(self: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        if self.defaults:  # which would be compiled in
            return compile_builder(self, append_unknown)
        key = (self.rule, tuple(self._trace), append_unknown)
        if key not in known:
            known[key] = compile_builder(self, append_unknown)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", compiled_once)
        yield
