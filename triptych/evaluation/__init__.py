"""Measures, significance, verdict. Knows runs and qrels, and no model."""
