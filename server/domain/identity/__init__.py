"""Who there is: organizations, their people, the tokens and sessions by which they are known."""
