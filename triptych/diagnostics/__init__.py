"""Diagnostics of the command line: memory estimate, model check, smoke test."""
