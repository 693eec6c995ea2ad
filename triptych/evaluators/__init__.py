"""Rank all chunks with a model and evaluate it; the systems that are compared."""
