"""Types that tell apart rows of the corpus, ids of distinct texts, and embeddings.

They cost nothing at run time: to everything but the type checker they are ``int`` and ``np.ndarray``.
"""

from typing import NewType

import numpy as np

# Row of the corpus table (`corpus/chunks.parquet`): 0 to the number of chunks - 1.
ChunkRow = NewType("ChunkRow", int)
# Row of a distinct text in `texts.parquet` and in the token store. Chunks with the same text share an id.
TextId = NewType("TextId", int)

# Rows of the corpus table: int64 of shape (n,).
ChunkRows = NewType("ChunkRows", np.ndarray)
# Ids of distinct texts: an integer array of shape (n,), or (n, m) where each row holds m texts.
TextIds = NewType("TextIds", np.ndarray)
# Embeddings: float32 of shape (n, dimensions); each row has length 1.
Vectors = NewType("Vectors", np.ndarray)
