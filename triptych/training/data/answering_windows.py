"""Which window of its chunk answers an anchor: a positive is that window, since no other could teach the anchor."""

import numpy as np

from triptych.encoding.encode_windows import Closest, have_windows
from triptych.ids import TextIds
from triptych.tokens.token_store import TokenStore
from triptych.triplets.examples import Examples
from triptych.triplets.views import VIEWS

_OWN_WORDS = [VIEWS.index(view) for view in ("lead", "sentence", "phrase")]  # anchors that are words of their chunk
_HELD = 0.8  # share of an anchor's pairs of neighboring tokens, from which a window contains it


def answering_windows(store: TokenStore, examples: Examples, closest: Closest) -> TextIds:
    """Return the text id of the window of each positive that answers its anchor; int64 of shape (examples,).

    An anchor made of a sentence is answered by the window that contains it, any other by the ``closest``. A positive
    without further windows is its own. Not called at all is ``closest`` where each positive is.
    """
    if not have_windows(store, examples.positive):
        return TextIds(examples.positive)
    windows = np.asarray(examples.positive, np.int64).copy()
    of_model = np.ones(len(examples), bool)
    own_words = np.flatnonzero(np.isin(examples.view, _OWN_WORDS))
    window_ids, position = store.windows_of(TextIds(examples.positive[own_words]))
    for row, of_row in zip(own_words, np.split(window_ids, np.flatnonzero(np.diff(position)) + 1), strict=False):
        if len(of_row) > 1 and (window := _containing(store, int(examples.anchor[row]), of_row)) is not None:
            windows[row], of_model[row] = window, False
    rows = np.flatnonzero(of_model)
    windows[rows] = closest(TextIds(examples.anchor[rows]), TextIds(examples.positive[rows]))
    return TextIds(windows)


def _containing(store: TokenStore, anchor: int, windows: np.ndarray) -> int | None:
    """Return the window with most of the anchor's pairs of neighboring tokens, or None if no window has enough."""
    wanted = _neighbors(store[anchor])
    shared = [len(wanted & _neighbors(store[int(window)])) for window in windows]
    best = int(np.argmax(shared))
    # The special tokens at both ends of an anchor are in two of its pairs.
    return int(windows[best]) if shared[best] >= _HELD * (len(wanted) - 2) > 0 else None


def _neighbors(tokens: np.ndarray) -> set[tuple[int, int]]:
    return set(zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True))
