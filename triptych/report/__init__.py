"""The page, the model cards and the tables of a run."""
