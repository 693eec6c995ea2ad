"""The corpus: reading sources, near-duplicates, queries, and splits without leaks."""
