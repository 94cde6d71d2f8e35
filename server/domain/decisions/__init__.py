"""How a stage moves: proposals and approvals, what they rest on, what forbids them, and carrying them out."""
