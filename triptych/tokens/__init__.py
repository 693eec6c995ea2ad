"""The token store: each distinct text tokenized once."""
