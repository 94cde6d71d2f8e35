"""The partner's side of Weightgate. Imports nothing of the server."""
