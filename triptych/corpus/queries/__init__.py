"""Queries: the user's own, cross-references, and pseudo-queries."""
