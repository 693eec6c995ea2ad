"""Sources and readers, near-duplicates, splits: from files to a corpus that does not leak."""
