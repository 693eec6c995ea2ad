"""The kinds of query that training learns, by the views of its anchors."""

import numpy as np

from triptych.corpus.records import AUTHOR_KINDS, GENERATED, PSEUDO, Qrels, Query
from triptych.triplets.examples import Examples
from triptych.triplets.views import VIEWS

_KIND_OF_VIEW = {
    "query": "user",
    "imported": "user",  # whose anchors may be anything, so also questions of users
    "generated": GENERATED,
    "heading": PSEUDO,
    "lead": PSEUDO,
    "sentence": PSEUDO,
    "phrase": PSEUDO,
}


def taught_kinds(examples: Examples, queries: dict[str, Query], train: Qrels) -> list[str]:
    """Return the kinds of query that the anchors of some examples are, sorted.

    View ``crossref`` teaches the kinds of what authors judged in train. View ``sibling`` pairs passages, and teaches no
    kind of query.
    """
    views = {VIEWS[view] for view in np.unique(examples.view).tolist()}
    kinds = {_KIND_OF_VIEW[view] for view in views if view in _KIND_OF_VIEW}
    if "crossref" in views:
        kinds |= {queries[one].kind for one in train} & {*AUTHOR_KINDS}
    return sorted(kinds)
