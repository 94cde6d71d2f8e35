"""How a checkpoint is made: its files, the checks on them, their hashes, its manifest."""
