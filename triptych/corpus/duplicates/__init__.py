"""Near-duplicate chunks, and queries that resemble each other."""
