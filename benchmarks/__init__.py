"""One script for each claim about speed or quality; each prints a table and, as its last line, JSON."""
