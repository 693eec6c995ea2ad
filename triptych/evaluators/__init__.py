"""Rank all chunks with a model and measure it."""
