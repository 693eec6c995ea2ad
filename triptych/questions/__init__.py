"""Questions for chunks, written by a language model: asking, the journal of answers, and what is kept of them."""
