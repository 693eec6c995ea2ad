"""Readers of source formats: from files and records to chunks."""
