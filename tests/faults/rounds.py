"""How often a race is run: a short version with every run of the tests, the whole one with `make faults`."""

import pytest

SHORT, WHOLE = 10, 200
in_rounds = pytest.mark.parametrize(
    "rounds", [SHORT, pytest.param(WHOLE, marks=pytest.mark.fault)], ids="{} rounds".format
)
