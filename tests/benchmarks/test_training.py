"""Both sides of the training benchmark train on the same rows with the same losses."""

import numpy as np
import pytest

from benchmarks.training import NEGATIVES, ROWS, timed


@pytest.mark.slow
def test_losses_agree_in_float32_and_texts_of_an_anchor_are_encoded_once(prepared):
    ours, theirs = (timed(prepared, side, "triplet", 4, exact=True) for side in ("ours", "stock"))
    assert len(ours["losses"]) >= 4
    assert np.abs(np.subtract(ours["losses"][:4], theirs["losses"][:4])).max() < 1e-4
    assert ours["rows"] == theirs["rows"] == ROWS
    assert ours["tokens"] < theirs["tokens"] * (2 + NEGATIVES + 1) / (3 * NEGATIVES)
