"""The registry protocol of container tools (OCI Distribution 1.1), pulling alone, over the same rules as every door."""
