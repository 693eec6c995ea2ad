"""Faster forward and backward passes."""
