"""Judging: the access rule and every other rule of who may do what, restated over log entries alone."""
