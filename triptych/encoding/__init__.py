"""Texts to vectors, and the caches of vectors."""
