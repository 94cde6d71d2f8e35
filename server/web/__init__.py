"""HTTP: parse, call, render. Decides nothing."""
