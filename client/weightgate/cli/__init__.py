"""The command line: one module a concept, and `surroundings` for what they share."""

from weightgate.cli.main import main as main
from weightgate.cli.main import run as run
from weightgate.cli.surroundings import Surroundings as Surroundings
