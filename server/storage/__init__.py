"""The outside world: database, object store, keys. Knows bytes and rows, no rules."""
