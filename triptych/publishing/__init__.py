"""A finished index in the databases that people have: rows, what changed, the databases, and the comparison."""
