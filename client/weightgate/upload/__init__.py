"""Uploading a checkpoint: hashed here, sent to the store in parts by the server's URLs, checked and published there."""
