"""How a checkpoint comes to be: its files, their checks, their hashes, its manifest."""
