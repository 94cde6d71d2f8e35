"""The append-only download log: bytes and their order, not what they mean."""
