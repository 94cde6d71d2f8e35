"""What is allowed, and what then happens. No HTTP, no S3 client."""
