"""How a person signs in: password, factors, passkeys, and the ways into an account."""
