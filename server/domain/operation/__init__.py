"""What an operator does: set an instance up, examine it, back it up."""
