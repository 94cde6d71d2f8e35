"""Frameworks: the files of controls name kinds and settings that there are, and no setting that is a secret."""

import pytest
from pydantic import ValidationError

from server.domain.audit import frameworks
from server.domain.audit.frameworks import FOLDER, NAMES, Control
from server.domain.entry_kinds import EntryKind
from tests.test_words import faults
from tests.world import World

CONTROL = {
    "id": "X1", "title": "T", "rule": "R", "kinds": ["download"], "settings": [], "shows": "S", "missing": "M",
}  # fmt: skip


def test_the_names_are_the_files() -> None:
    """A file that no command knows would be read by nobody."""
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_framework_says_what_it_cannot_show(name: str) -> None:
    """Every control has a number of its own and says what is missing; its words are plain English."""
    found = frameworks.framework(name)
    ids = [control.id for control in found.control]
    assert len(ids) == len(set(ids))
    assert len(found.cannot_show) >= 3
    words = [found.about, *found.cannot_show]
    for control in found.control:
        words += [control.title, control.rule, control.shows, control.missing]
        assert len(set(control.kinds)) == len(control.kinds)
        assert min(map(len, (control.rule, control.shows, control.missing))) > 10
    assert [faults(word) for word in words] == [[]] * len(words)


def test_downloads_and_alarms_are_in_every_framework() -> None:
    """What this server is for, and what it noticed, is left out of none."""
    for name in NAMES:
        assert {EntryKind.DOWNLOAD, EntryKind.ALARM} <= frameworks.framework(name).kinds


@pytest.mark.parametrize("name", ["database_url", "smtp_url", "log_key_file", "redis_url", "unheard_of"])
def test_a_setting_that_can_hold_a_secret_is_refused(name: str) -> None:
    """A pack leaves the house: no address with a password in it, no path of a key."""
    with pytest.raises(ValidationError, match="not a setting that can be shown"):
        Control.model_validate(CONTROL | {"settings": [name]})


def test_settings_are_shown_as_they_are(sqlite_world: World) -> None:
    """And in the order of the control."""
    control = Control.model_validate(CONTROL | {"settings": ["url_lifetime_seconds", "second_person_tier"]})
    assert list(frameworks.values(sqlite_world.settings, control).items()) == [
        ("url_lifetime_seconds", sqlite_world.settings.url_lifetime_seconds), ("second_person_tier", "research"),
    ]  # fmt: skip
