"""Triplets as flat tables, written and read."""
