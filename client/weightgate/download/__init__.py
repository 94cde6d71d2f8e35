"""Downloading: verified while it arrives, resumable, and under its final name only when it is what was published."""
