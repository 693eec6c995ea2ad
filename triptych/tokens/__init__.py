"""Tokenization: each distinct text once, stored as token ids."""
