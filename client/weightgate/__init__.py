"""The partner's side of Weightgate. Imports nothing of the server."""

from weightgate.client import Client as Client
