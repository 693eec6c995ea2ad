"""What questions written for chunks add to search without any training: mrr@10 of the base model with and without them.

``python -m benchmarks.written_questions FOLDER --questions FILE [--asked FILE…]``; FOLDER is a ``data/corpus`` (the
outputs of ``split``), ``--questions`` a journal of written questions, all of which are indexed: none is dropped, as
stage ``ask`` does with some. A set of queries is each kind of the corpus with at least 20 queries in all splits, except
made ones, and each file of ``--asked``: JSON lines of ``query`` and ``gold``, a list of pages, each given by its file
name or by the id of its chunks without the suffix of a part; any chunk of such a page is relevant. The model and the
text template are those of ``params.yaml``.

Two tables follow: each system on each set, and the mean over the sets of the hybrid with windows and questions for
several weights of a question (`triptych.retrieval.question_scores.WEIGHT`) and of the dense scores. The last line is
both as JSON. Vectors are cached in ``build/vectors``.
"""

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from unittest.mock import patch

from triptych.artifacts import read_jsonl
from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.chunking import PART
from triptych.corpus.embedded_text import framed_passage
from triptych.corpus.language import read_language
from triptych.corpus.records import MADE_KINDS, SPLITS, Chunk, Qrels, Query, Run, read_chunks, read_qrels, read_queries
from triptych.corpus.written_questions import WrittenQuestion
from triptych.encoding.text_encoder import Retriever
from triptych.errors import UserError
from triptych.evaluation.metrics import mean, per_query
from triptych.models.loading import load_base
from triptych.params.load import load_params
from triptych.params.questions import Ask
from triptych.questions.journal import Journal
from triptych.questions.prompt import prompt_name, shown_text, text_key
from triptych.retrieval import question_scores
from triptych.retrieval.fusion import PRIOR, PRIOR_WITH_QUESTIONS, Fusion
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.rankings import lexical_run

FIRST = (64, 128)  # tokens
LENGTH, MOST = 128, 6  # tokens of a window, and the most windows of a chunk
QUESTION_WEIGHTS = (0.35, 0.5, 0.65, 0.8, 1.0)
DENSE_WEIGHTS = (0.5, 0.6, 0.7, 0.8)
DEPTH = 100
FEWEST = 20  # queries of a kind
CACHE = Path("build/vectors")
_PART = re.compile(rf"{PART}\d+$")


@dataclass(frozen=True, slots=True)
class QuerySets:
    """Judged queries, and the ids of those of each set."""

    queries: list[Query]
    qrels: Qrels
    ids: dict[str, list[str]]

    def mrr(self, run: Run) -> dict[str, float]:
        """Return the mean mrr@10 of each set."""
        values = per_query(self.qrels, run)["mrr@10"]
        return {name: mean(values, ids) for name, ids in self.ids.items()}


def main(argv: list[str] | None = None) -> None:
    """Search with every system, and print the tables and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--asked", type=Path, nargs="*", default=[])
    args = parser.parse_args(argv)
    params = load_params()
    chunks = read_chunks(args.folder / "chunks.parquet")
    sets = read_sets(args.folder, args.asked, chunks)
    written = read_written(args.questions, chunks, params.ask)
    ids = [chunk.chunk_id for chunk in chunks]
    framed = [framed_passage(chunk, params.triplets.text_template) for chunk in chunks]
    passages, language = [one.text for one in framed], read_language(args.folder)
    bm25 = lexical_run(LexicalIndex(ids, passages, language), sets.queries, DEPTH)
    bm25_asked = lexical_run(LexicalIndex(ids, written.added_to(passages), language), sets.queries, DEPTH)
    model = load_base(params.model)

    def retriever(length: int, most: int = 1, questions: ChunkQuestions | None = None) -> Retriever:
        model.max_seq_length = length
        return Retriever(model, ids, framed, params.train.precision, CACHE, "base", most, questions)

    dense = {f"first {length}": retriever(length).run(sets.queries, DEPTH) for length in FIRST}
    dense[f"windows {MOST} of {LENGTH}"] = retriever(LENGTH, MOST).run(sets.queries, DEPTH)
    systems = {"BM25": sets.mrr(bm25)}
    systems |= {name: sets.mrr(run) for name, run in dense.items()}
    systems |= {f"hybrid, {name}": sets.mrr(PRIOR.fuse(run, bm25, DEPTH)) for name, run in dense.items()}
    searched = retriever(LENGTH, MOST, written)
    fused = PRIOR_WITH_QUESTIONS.fuse(searched.run(sets.queries, DEPTH), bm25_asked, DEPTH)
    systems["hybrid, windows and questions"] = sets.mrr(fused)
    weights: dict[float, dict[float, float]] = {}
    for weight in QUESTION_WEIGHTS:
        with patch.object(question_scores, "WEIGHT", weight):
            run = searched.run(sets.queries, DEPTH)
        values = {one: sets.mrr(Fusion("zscore", one).fuse(run, bm25_asked, DEPTH)) for one in DENSE_WEIGHTS}
        weights[weight] = {one: fmean(by_set.values()) for one, by_set in values.items()}
    covered = len(set(written.chunk.tolist()))
    print(f"{len(chunks):,} chunks, {len(written):,} questions for {covered:,} of them\n")
    print_tables({name: len(of_set) for name, of_set in sets.ids.items()}, systems, weights)
    counts = {"chunks": len(chunks), "questions": len(written), "chunks_with_questions": covered}
    print(json.dumps(counts | {"systems": systems, "weights": weights}))


def read_sets(folder: Path, asked: Sequence[Path], chunks: Sequence[Chunk]) -> QuerySets:
    """Return the kinds of a corpus with enough queries, and the files of further queries by their names."""
    known = read_queries(folder)
    judged = {one: found for split in SPLITS for one, found in read_qrels(folder / f"qrels/{split}.tsv").items()}
    kinds = defaultdict[str, list[str]](list)
    for query_id in judged:
        kinds[known[query_id].kind].append(query_id)
    ids = {kind: kinds[kind] for kind in sorted(kinds) if kind not in MADE_KINDS and len(kinds[kind]) >= FEWEST}
    queries = [known[query_id] for of_kind in ids.values() for query_id in of_kind]
    pages = defaultdict[str, set[str]](set)
    for chunk in chunks:
        for name in (chunk.filename, _PART.sub("", chunk.chunk_id)):
            pages[name].add(chunk.chunk_id)
    for path in asked:
        rows = {f"{path}:{number}": row for number, row in enumerate(read_jsonl(path), start=1)}
        for query_id, row in rows.items():
            if unknown := [name for name in row["gold"] if name not in pages]:
                raise UserError(f"{query_id}: the corpus has no page {', '.join(unknown)}")
            judged[query_id] = dict.fromkeys(sorted(set[str]().union(*(pages[name] for name in row["gold"]))), 1)
            queries.append(Query(query_id, row["query"], "user", ""))
        ids[path.name] = list(rows)
    if not queries:
        raise UserError(f"{folder}: no kind has {FEWEST} queries; name a file of queries (--asked)")
    return QuerySets(queries, {query.query_id: judged[query.query_id] for query in queries}, ids)


def read_written(path: Path, chunks: Sequence[Chunk], settings: Ask) -> ChunkQuestions:
    """Return all questions of a journal that belong to chunks, as stage ``ask`` finds them."""
    texts = {chunk.chunk_id: text_key(shown_text(chunk)) for chunk in chunks}
    taken = Journal(path).taken(texts, prompt_name(settings.questions_per_chunk), settings.model)
    questions = (
        WrittenQuestion(chunk_id, *question) for chunk_id, one in taken.records.items() for question in one.questions
    )
    return ChunkQuestions.of(questions, list(texts))


def print_tables(
    numbers: dict[str, int], systems: dict[str, dict[str, float]], weights: dict[float, dict[float, float]]
) -> None:
    """Print mrr@10 of each system on each set of ``numbers`` queries, then its mean for each pair of weights."""
    print("| queries | " + " | ".join(systems) + " |")
    print("| --- |" + " ---: |" * len(systems))
    for name, number in numbers.items():
        print(f"| {name} ({number:,}) | " + " | ".join(f"{by_set[name]:.3f}" for by_set in systems.values()) + " |")
    print("| mean | " + " | ".join(f"{fmean(by_set.values()):.3f}" for by_set in systems.values()) + " |")
    print("\n| weight of a question | " + " | ".join(f"dense weight {one:g}" for one in DENSE_WEIGHTS) + " |")
    print("| --- |" + " ---: |" * len(DENSE_WEIGHTS))
    for weight, by_dense in weights.items():
        print(f"| {weight:g} | " + " | ".join(f"{value:.3f}" for value in by_dense.values()) + " |")


if __name__ == "__main__":
    main()
