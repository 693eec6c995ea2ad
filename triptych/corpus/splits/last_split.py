"""The split of the publication before: what was learned then is not asked now, and its test stays a test.

A document of today keeps the split that it had, by its texts (near-duplicates of what was there) or else by its file.
Where a document has texts of several splits it is divided; of near-duplicates with several splits train wins, since the
embedder may have learned them. Dev and test questions of then only judge from now on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np

from triptych.artifacts import open_table
from triptych.corpus.chunk_table import ChunkTable, CorpusColumns
from triptych.corpus.duplicates.near_duplicates import NearDuplicateClusters, renumber
from triptych.corpus.last_publication import Changes
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.records import SPLITS, read_qrels, read_queries
from triptych.corpus.splits.by_document import rows_of_answers
from triptych.corpus.texts import normalized

_FREE = -1
_TRAIN = SPLITS.index("train")


@dataclass(frozen=True, slots=True)
class LastSplit:
    """The split of the publication before, as far as it concerns the chunks of today."""

    codes: np.ndarray  # int8 of shape (chunks,): the split of each chunk of today as its index in `SPLITS`, -1 if new
    known: np.ndarray  # bool of shape (chunks,): whether its text, or nearly, was there
    split_of_text: dict[str, str]  # of each query of then, by its normalized text
    changes: Changes

    @property
    def taught(self) -> bool:
        """Whether questions were learned then."""
        return "train" in self.split_of_text.values()

    def marked(self, queries: list[LabeledQuery], columns: CorpusColumns) -> list[LabeledQuery]:
        """Let the questions that judged only judge, in their split, and those whose answers were learned too."""
        marked = []
        for query, rows in zip(queries, rows_of_answers(queries, columns), strict=True):
            before = self.split_of_text.get(normalized(query.query.text))
            if before in ("dev", "test"):
                marked.append(replace(query, split=before, held_out=True))
            elif query.split in ("dev", "test") and bool((self.codes[rows] == _TRAIN).any()):
                marked.append(replace(query, held_out=True))
            else:
                marked.append(query)
        return marked

    def learned(self, queries: list[LabeledQuery], columns: CorpusColumns) -> list[LabeledQuery]:
        """Put the questions that were learned into train, and those that may not move what was learned out of it."""
        learned = []
        for query, rows in zip(queries, rows_of_answers(queries, columns), strict=True):
            was_learned = self.split_of_text.get(normalized(query.query.text)) == "train"
            of_learned = query.split is None and bool((self.codes[rows] == _TRAIN).any())
            learned.append(replace(query, split="train") if was_learned or of_learned else query)
        return learned

    def divided(self, document_ids: np.ndarray) -> tuple[np.ndarray, "LastSplit"]:
        """Return documents whose chunks had one split each, and the split that all chunks of each keep.

        A new chunk belongs to what its document has; to train, if that has several splits.
        """
        fixed = self.codes != _FREE
        first = np.full(int(document_ids.max()) + 1, len(SPLITS))
        np.minimum.at(first, document_ids[fixed], self.codes[fixed])
        of_document = np.where(first == len(SPLITS), _FREE, first)[document_ids]
        codes = np.where(fixed, self.codes, of_document).astype(np.int8)
        parts = document_ids.astype(np.int64) * (len(SPLITS) + 1) + codes + 1
        return renumber(parts), replace(self, codes=codes)

    def exam(self, test: list[LabeledQuery]) -> list[str]:
        """Return the ids of the test queries that were test queries then."""
        ids = [one.query.query_id for one in test if self.split_of_text.get(normalized(one.query.text)) == "test"]
        return sorted(ids)


def texts_of(folder: Path) -> Iterator[list[str]]:
    """Yield the texts of the chunks of then, batch by batch."""
    for (texts,) in ChunkTable(open_table(folder / "chunks.parquet")).batches("content"):
        yield texts


def own_clusters(clusters: NearDuplicateClusters, number: int) -> NearDuplicateClusters:
    """Return the clusters of the first ``number`` texts."""
    return replace(clusters, text=clusters.text[:number], cluster=clusters.cluster[:number])


def read_last_split(folder: Path, corpus: ChunkTable, clusters: NearDuplicateClusters) -> LastSplit:
    """Read the split of then; ``clusters`` are those of the chunks of today, followed by those of then."""
    last = ChunkTable(open_table(folder / "chunks.parquet"))
    number = len(corpus)
    of_today, of_then = clusters.cluster[:number], clusters.cluster[number:]
    names = {split: code for code, split in enumerate(SPLITS)}
    codes_of_then = np.array([names[one] for (batch,) in last.batches("split") for one in batch], dtype=np.int8)
    by_text = _lowest(of_then, codes_of_then, int(clusters.cluster.max()) + 1)[of_today]
    pages, pages_of_then = _pages(corpus), _pages(last)
    code_of_page: dict[str, int] = {}
    for page, code in zip(pages_of_then.of_chunk, codes_of_then.tolist(), strict=True):
        code_of_page[page] = min(code, code_of_page.get(page, len(SPLITS)))
    by_page = np.array([code_of_page.get(page, _FREE) for page in pages.of_chunk], dtype=np.int8)
    codes = np.where(by_text == _FREE, by_page, by_text).astype(np.int8)
    # Near-duplicates of today stay together, whatever their files say.
    codes = _lowest(of_today[codes != _FREE], codes[codes != _FREE], int(of_today.max()) + 1)[of_today]
    queries = read_queries(folder)
    split_of_text = {
        normalized(queries[one].text): split
        for split in SPLITS
        for one in read_qrels(folder / "qrels" / f"{split}.tsv")
    }
    known = np.isin(of_today, of_then)
    chunks = {
        "added": int((~known).sum()),
        "gone": int((~np.isin(of_then, of_today)).sum()),
        "same": int(known.sum()),
    }
    return LastSplit(codes, known, split_of_text, Changes(pages.changes_since(pages_of_then), chunks))


def _lowest(groups: np.ndarray, codes: np.ndarray, number: int) -> np.ndarray:
    """Return the lowest split code of each of ``number`` groups, int8; -1 for a group without one."""
    lowest = np.full(number, len(SPLITS), dtype=np.int8)
    np.minimum.at(lowest, groups, codes)
    return np.where(lowest == len(SPLITS), _FREE, lowest).astype(np.int8)


@dataclass(frozen=True, slots=True)
class _Pages:
    """The pages (files) of a corpus."""

    of_chunk: list[str]
    texts: dict[str, int]  # by page: a sum of hashes of its texts, which does not depend on their order

    def changes_since(self, then: "_Pages") -> dict[str, int]:
        both = self.texts.keys() & then.texts.keys()
        same = sum(self.texts[page] == then.texts[page] for page in both)
        return {
            "added": len(self.texts.keys() - both),
            "changed": len(both) - same,
            "gone": len(then.texts.keys() - both),
            "same": same,
        }


def _pages(corpus: ChunkTable) -> _Pages:
    of_chunk: list[str] = []
    texts: dict[str, int] = {}
    for categories, files, contents in corpus.batches("category", "filename", "content"):
        for category, file, content in zip(categories, files, contents, strict=True):
            page = f"{category}\0{file}"
            of_chunk.append(page)
            digest = int.from_bytes(blake2b(content.encode(), digest_size=8).digest(), "big")
            texts[page] = (texts.get(page, 0) + digest) % (1 << 64)
    return _Pages(of_chunk, texts)
