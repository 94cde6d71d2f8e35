"""What was fetched, from the store's own access log: bytes, statistics, alarms."""
