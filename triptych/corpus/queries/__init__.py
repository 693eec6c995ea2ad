"""Queries: people's own, cross-references, and pseudo-queries."""
