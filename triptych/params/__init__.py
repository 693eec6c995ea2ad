"""``params.yaml``: its sections, typed, and how it is read."""
