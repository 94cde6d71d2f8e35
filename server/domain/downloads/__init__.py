"""What is issued: signed URLs, each with its entry in the log, and which of them still work."""
