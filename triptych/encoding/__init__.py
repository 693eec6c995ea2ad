"""Encode texts into vectors, and cache the vectors."""
