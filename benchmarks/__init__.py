"""One script for each claim of speed or quality; each prints a table and, last, one line of JSON."""
