"""One `Searcher` in many threads: the answers of one thread."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
from hand_made import INDEX, ask
from sentence_transformers import CrossEncoder
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification
from verdicts import make_verdicts

from stages import index
from triptych import Searcher
from triptych.artifacts import read_json, write_json
from triptych.corpus.records import read_chunks

THREADS = 32
WORDS = ["mask", "array", "inverse", "rfft", "fill_value", "where", "condition", "zebra", "np.fft.ifft", "naïve"]


@pytest.fixture
def project(indexed, tmp_path, monkeypatch):
    shutil.copytree(indexed, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mixed(number):
    random = Random(7)
    return [
        (" ".join(random.choices(WORDS, k=random.randint(1, 40))), random.choice([1, 3, 20]), random.choice(CATEGORIES))
        for _ in range(number)
    ]


CATEGORIES = [None, "fft", "ma"]


def check(number):
    """Ask a searcher that no thread has used, all threads at once; compare with another one in one thread."""
    asked, searcher = mixed(number), Searcher()
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(lambda one: searcher.search(*one), asked))
    alone = Searcher()
    assert together == [alone.search(*one) for one in asked]


def test_in_numpy_with_windows_and_written_questions(project, write_params):
    write_params(project, **{"model.base": "./tiny", "train.precision": "fp32"})
    tokens = project / "data/tokens/metadata.json"
    write_json(tokens, read_json(tokens) | {"max_windows": 8})
    chunks = read_chunks(project / "data/corpus/chunks.parquet")
    ask(project / "data/questions", [(f"what is {row} good for?", one.chunk_id) for row, one in enumerate(chunks)])
    make_verdicts(late=(20, 0.5), windows=True, questions=True).write(Path("metrics/verdict.json"))
    index.main(INDEX.split())
    check(96)


def test_in_torch_with_a_reranker(project):
    tokenizer = AutoTokenizer.from_pretrained("models/embedder")
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(tokenizer), num_labels=1, initializer_range=0.5, **shape)
    BertForSequenceClassification(config).save_pretrained("models/bare")
    tokenizer.save_pretrained("models/bare")
    CrossEncoder("models/bare", device="cpu", max_length=64).save_pretrained("models/reranker")
    path = Path("data/index/index.json")
    path.write_text(json.dumps(read_json(path) | {"numpy_encoder": None}), encoding="utf-8")
    make_verdicts(late=(20, 0.5), reranked=(5, 0.5)).write(Path("metrics/verdict.json"))
    check(48)
