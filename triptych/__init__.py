"""Triptych: documentation in; a tuned retriever, with proof, out."""
