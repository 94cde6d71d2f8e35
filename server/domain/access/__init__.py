"""Who may have what: signatures, clearances, requests, quotas, and the one rule over them."""
