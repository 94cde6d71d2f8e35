"""The download log as a partner sees it: receipts, proofs, heads, and the memory of what was shown before."""
