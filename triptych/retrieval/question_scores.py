"""How the similarity of a chunk's text and that of the questions written for it make up one score."""

import numpy as np

WEIGHT = 0.8  # of a question beside the text: the best over eleven sets of queries (docs/experiments.md)


def combined_scores(windows: np.ndarray, questions: np.ndarray, has_questions: np.ndarray) -> np.ndarray:
    """Return the score of chunks for a query; float32 of shape (chunks,).

    ``windows`` are the cosine similarities of each chunk's best window, ``questions`` those of its best question, to be
    ignored where ``has_questions`` is False. A question may raise a chunk by `WEIGHT` of the way to its own
    similarity, and never lowers one.

    `triptych.retrieval.windows.ChunkSearch` finds chunks by the larger of both, so a score must not exceed that. Only
    differences between the chunks of a query matter: to favor those without questions, lower the others.

    >>> two = np.array([0.5, 0.5], np.float32)
    >>> combined_scores(two, np.array([0.75, 0.0], np.float32), np.array([True, False])).round(2)
    array([0.7, 0.5], dtype=float32)
    """
    raised = np.maximum(windows, (1 - WEIGHT) * windows + WEIGHT * questions)
    return np.where(has_questions, raised, windows).astype(np.float32)
