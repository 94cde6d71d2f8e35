"""What an operator does: begin an instance, look whether it is well, back it up."""
