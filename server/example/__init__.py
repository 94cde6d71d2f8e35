"""The worked example's files: what the demonstration publishes, made here from nothing but numbers and a short text."""
