"""The share of examples that an embedder has learned from before."""

import numpy as np
import pytest
from corpora import LEAD_ROWS, examples_of

from triptych.triplets.sampling.old_examples import limit_old


@pytest.mark.parametrize(("share", "old"), [(0.0, 0), (0.25, 1), (0.5, 3), (0.99, None), (1.0, None)])
def test_old_examples_are_at_most_their_share_and_all_new_ones_stay(share, old):
    examples = examples_of(LEAD_ROWS)
    chunks = examples.positive_chunk
    known = np.ones(int(chunks.max()) + 1, dtype=bool)
    known[np.unique(chunks)[-3:]] = False
    new, number = int((~known[chunks]).sum()), len(examples)
    limited = limit_old(examples, known, share, 1)
    assert (~known[limited.positive_chunk]).sum() == new
    expected = number - new if old is None else round(new * share / (1 - share)) if share < 1 else 0
    assert known[limited.positive_chunk].sum() == min(expected, number - new)
    again = limit_old(examples, known, share, 1)
    assert again.anchor.tolist() == limited.anchor.tolist()
    assert limited.anchor.tolist() == sorted(limited.anchor.tolist(), key=examples.anchor.tolist().index)


def test_without_new_examples_all_old_ones_are_taken():
    examples = examples_of(LEAD_ROWS)
    known = np.ones(int(examples.positive_chunk.max()) + 1, dtype=bool)
    assert len(limit_old(examples, known, 0.1, 1)) == len(examples)
