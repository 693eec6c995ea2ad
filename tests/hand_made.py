"""Hand-made corpora and helpers for their tests."""

from dataclasses import replace
from itertools import product
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from triptych.corpus.chunk_table import ChunkTable, read_columns
from triptych.corpus.records import Chunk, Query, chunk_table, write_chunks, write_links, write_queries
from triptych.corpus.written_questions import WrittenQuestion, write_questions
from triptych.triplets.views import VIEWS

VOCABULARY = ["".join(letters) for letters in product("bdgkmnprst", "aeiou", "lnrsx")]
OUTS = {
    "corpus": "data/corpus",
    "questions": "data/questions",
    "texts": "data/triplets/texts",
    "embedder": "data/triplets/embedder",
    "reranker": "data/triplets/reranker0",
    "heldout": "data/triplets/heldout",
    "metrics": "metrics/triplets.json",
}
TOKENIZE = (
    "--texts data/triplets/texts --examples data/triplets/embedder --tokens data/tokens --round data/triplets/round0"
    " --base models/base"
)
TRAIN = (
    "--corpus data/corpus --texts data/triplets/texts --tokens data/tokens --round data/triplets/round0"
    " --previous models/base --model models/round0"
    " --metrics metrics/train/round0.json --curve metrics/train/round0.csv --tables metrics/train/round0"
    " --vectors data/vectors --checkpoints .checkpoints/round0"
)
EVALUATE = (
    "--corpus data/corpus --texts data/triplets/texts --embedder data/triplets/embedder"
    " --heldout data/triplets/heldout --tokens data/tokens --model models/round0"
    " --metrics metrics/evaluate.json --tables metrics/evaluate"
    " --runs data/runs"
    " --reranker models/reranker-candidate --vectors data/vectors"
)
PROMOTE = (
    "--intervals metrics/evaluate/intervals.csv --evaluation metrics/evaluate.json"
    " --added metrics/evaluate/added.csv --model models/round0 --candidate models/reranker-candidate"
    " --verdict metrics/verdict.json --reranker models/reranker --embedder"
)
INDEX = (
    "--corpus data/corpus --questions data/questions --embedder models/embedder --verdict metrics/verdict.json"
    " --index data/index --metrics metrics/index.json --vectors data/vectors --tokens data/tokens/metadata.json"
)
PATHS = [part for name, path in OUTS.items() for part in (f"--{name}", path)]


def chunk(row, category="lists", **changes):
    """Make a chunk of two sentences, half of whose words belong to one of six topics."""
    random = Random(row)
    words = random.sample(VOCABULARY[row % 6 * 10 :][:10], 7) + random.sample(VOCABULARY[60:], 7)
    random.shuffle(words)
    one = Chunk(
        f"{category}{row}",
        category,
        f"{category}{row % 5}.md",
        (category[0], f"p{row % 3}", f"h{row}"),
        f"{category}{row}",
        f"{' '.join(words[:7]).capitalize()}. {' '.join(words[7:]).capitalize()}.",
        f"{category}:{row}",
        cluster_id=row,
        document_id=row,
        split="train",
    )
    return replace(one, **changes)


def stored(chunks):
    """Return chunks as stage split sees them: a table and its columns."""
    sink = pa.BufferOutputStream()
    pq.write_table(chunk_table(chunks), sink)
    table = ChunkTable(pq.ParquetFile(sink.getvalue()))
    return table, read_columns(table)


def two_categories(number=30):
    """Make chunks of two categories in turn."""
    return [chunk(row, ("lists", "tables")[row % 2]) for row in range(number)]


def shares(**some):
    """Return shares of views as params contain them."""
    return dict.fromkeys(VIEWS, 0.0) | some


def write_corpus(folder, chunks, links=(), questions=(), written=()):
    """Write the outputs of split and ask; questions are (text, chunk id, split), written ones (text, chunk id)."""
    queries = [Query(f"q{n}", text, "user", "lists") for n, (text, _, _) in enumerate(questions)]
    qrels = {
        split: {f"q{n}": {one: 1} for n, (_, one, side) in enumerate(questions) if side == split}
        for split in ("train", "dev", "test")
    }
    write_chunks(folder / "chunks.parquet", chunks)
    write_links(folder / "links.parquet", list(links))
    write_queries(folder, queries, qrels)
    ask(folder.parent / "questions", written)


def ask(folder, written=()):
    """Write what stage ask does; questions are (text, chunk id)."""
    write_questions(folder / "questions.jsonl", [WrittenQuestion(one, text, "") for text, one in written])


def warnings(lines):
    """Return the warnings among the lines that a stage prints."""
    return [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")]


def check_mix(metrics, but=()):
    """Assert that the mix holds for every category of both profiles, to the nearest row."""
    for profile in ("embedder", "reranker"):
        made = metrics[profile]
        for category, tiers in made["mix"].items():
            rows = made["triplets_by_category"][category]
            for tier, wanted in made["mix_wanted"].items():
                assert category in but or abs(tiers[tier] - wanted) < max(0.01, 1 / rows), (profile, category)
