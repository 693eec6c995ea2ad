"""Shared fixtures: real documentation of a few dozen chunks, a tiny model, and edited copies of params.yaml."""

import gc
import json
import logging
import os
import re
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import windows_rules
import yaml
from hand_made import PATHS, TOKENIZE, ask, shares, stored, write_corpus

from triptych.corpus.duplicates.near_duplicates import cluster
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.queries.link_queries import crossref_queries
from triptych.corpus.readers.sources import SourceReader
from triptych.corpus.records import SPLITS, Chunk, Link, link_table
from triptych.corpus.splits.by_document import assign_queries, assign_splits, group_documents
from triptych.params.load import load_params

ROOT = Path(__file__).parents[1]
pytest_plugins = ["short_runs", "browser"]
windows_rules.install()


def pytest_collection_finish(session):
    """Exempt what the imports made from garbage collection: training collects often, half a second each time."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item):
    """Skip on Windows what is marked as of POSIX only."""
    if os.name != "posix" and item.get_closest_marker("posix"):
        pytest.skip("Windows has no such thing")


@pytest.fixture(autouse=True)
def _rules_of_windows(request):
    """Suspend the rules of Windows for tests of what only POSIX has."""
    with windows_rules.lifted() if request.node.get_closest_marker("posix") else nullcontext():
        yield


class Corpus(NamedTuple):
    """Chunks with clusters, documents and splits, their links, and the link texts as queries of each split."""

    chunks: list[Chunk]
    links: list[Link]
    judged: dict[str, list[LabeledQuery]]


@pytest.fixture(scope="session")
def write_params():
    """Write params.yaml with dotted keys changed, and dvc.yaml: ``write_params(folder, **{"train.batch_size": 2})``."""

    def write(folder: Path, **changes) -> Path:
        raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        raw["split"]["queries"] = None  # those of the default run are about other documentation
        for key, value in changes.items():
            *sections, last = key.split(".")
            section = raw
            for name in sections:
                section = section.setdefault(name, {})
            section[last] = value
        path = folder / "params.yaml"
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
        if not (folder / "dvc.yaml").exists():
            shutil.copyfile(ROOT / "dvc.yaml", folder / "dvc.yaml")  # where messages look up which stage writes a file
        return path

    return write


@pytest.fixture(scope="session")
def params_with(tmp_path_factory, write_params):
    """Load the project's params with dotted keys changed; the same changes are loaded once, for property tests."""
    known = {}

    def load(**changes):
        key = json.dumps(changes, sort_keys=True)
        if key not in known:
            known[key] = load_params(write_params(tmp_path_factory.mktemp("params"), **changes))
        return known[key]

    return load


@pytest.fixture(scope="session")
def tiny_corpus(params_with):
    """The documentation of numpy.fft and numpy.linalg as ``ingest`` and ``split`` write it."""
    sources = [{"path": f"numpy.{name}", "format": "package", "category": name} for name in ("fft", "linalg")]
    params = params_with(**{"ingest.sources": sources, "ingest.max_content_chars": 1_000_000})
    intake = SourceReader(params.ingest)
    read, links = list(intake.chunks(lambda path, one: None)), list(intake.links())
    table, columns = stored(read)
    judged, _ = crossref_queries(table, columns, link_table(links), params.ingest.min_link_words)
    clusters = cluster([[chunk.content for chunk in read]], params.split.near_duplicates).cluster
    document_ids = group_documents(columns, clusters, judged, columns.title)
    sides = assign_splits(columns, document_ids, judged, params.split.fractions, params.split.seed)
    chunks = [
        replace(chunk, cluster_id=int(near), document_id=int(document), split=SPLITS[side])
        for chunk, near, document, side in zip(read, clusters, document_ids, sides, strict=True)
    ]
    return Corpus(chunks, links, assign_queries(judged, columns, sides)[0])


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory, tiny_corpus):
    """A folder with a SentenceTransformer of two small layers and a vocabulary of the corpus' own words."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = sorted({word for chunk in tiny_corpus.chunks for word in chunk.content.lower().split() if word.isalpha()})
    letters = sorted({letter for chunk in tiny_corpus.chunks for letter in chunk.content.lower() if letter.strip()})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), *words]
    place = tmp_path_factory.mktemp("tiny")
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    torch.set_num_threads(1)  # on tensors this small, threads only wait for each other
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,  # texts must differ in more than rounding
    )
    BertModel(config).eval().save_pretrained(place / "bert")
    BertTokenizerFast(vocab=vocabulary, do_lower_case=True, model_max_length=64).save_pretrained(place / "bert")
    transformer = Transformer(str(place / "bert"), max_seq_length=64)
    modules = [transformer, Pooling(config.hidden_size, "mean"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(place / "model"), create_model_card=False)
    return place / "model"


@pytest.fixture(scope="session")
def prepare(write_params, tiny_model):
    """Run ingest to tokenize in a folder with the tiny model: ``prepare(folder, **{"ingest.sources": [...]})``."""
    from stages import ingest, split, tokenize_texts, triplets

    def call(folder: Path, **changes):
        shutil.copytree(tiny_model, folder / "tiny")
        small = {
            "split.min_queries": 2,
            "split.min_train_queries": 1,
            "model.base": "./tiny",
            "tokenize.max_length": "auto",
            "tokenize.max_windows": 1,
            "rounds.train.round0.steps": 2,
            "train.batch_size": 8,
            "train.precision": "fp32",
        }
        write_params(folder, **(small | changes))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            ask(folder / "data/questions")
            for stage, line in (
                (ingest, "--chunks data/chunks --metrics metrics/ingest.json"),
                (split, "--chunks data/chunks --corpus data/corpus --metrics metrics/split.json"),
                (
                    triplets,
                    "--corpus data/corpus --questions data/questions --texts data/triplets/texts"
                    " --embedder data/triplets/embedder --reranker data/triplets/reranker0"
                    " --heldout data/triplets/heldout --metrics metrics/triplets.json",
                ),
                (tokenize_texts, TOKENIZE),
            ):
                stage.main(line.split())
        return folder

    return call


@pytest.fixture(scope="session")
def prepared(tmp_path_factory, prepare):
    """A project folder with the documentation of numpy.fft and numpy.ma, run up to tokenize with the tiny model."""
    sources = [{"path": f"numpy.{name}", "format": "package", "category": name} for name in ("fft", "ma")]
    return prepare(tmp_path_factory.mktemp("prepared"), **{"ingest.sources": sources})


@pytest.fixture
def asked_about(prepared, tmp_path, monkeypatch):
    """Run triplets and tokenize on a copy of the prepared project with written questions: (text, chunk id)."""
    from stages import tokenize_texts, triplets

    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def call(written):
        ask(tmp_path / "data/questions", written)
        triplets.main(PATHS)
        tokenize_texts.main(TOKENIZE.split())
        return tmp_path

    return call


@pytest.fixture
def encoded_counts(caplog):
    """Return how many texts each call of an encoder has encoded since the last check, from its log."""
    caplog.set_level(logging.INFO, logger="triptych.encoding")

    def call():
        matches = [re.search(r": encoding (\d+) of \d+ texts$", message) for message in caplog.messages]
        caplog.clear()
        return [int(match[1]) for match in matches if match]

    return call


@pytest.fixture
def staged(monkeypatch, tmp_path, write_params, capsys):
    """Run stage triplets on chunks (and links, questions) with changed params; return its metrics and its lines."""
    from stages import command, triplets

    monkeypatch.chdir(tmp_path)

    def call(chunks, links=(), questions=(), written=(), **changes):
        write_corpus(tmp_path / "data/corpus", chunks, links, questions, written)
        settings = {"views": shares(lead=0.5, sentence=0.5), "min_triplets_per_category": 10}
        write_params(tmp_path, **{f"triplets.{key}": value for key, value in (settings | changes).items()})
        command.run(lambda: triplets.main(PATHS))
        metrics = json.loads((tmp_path / "metrics/triplets.json").read_text(encoding="utf-8"))
        return metrics, capsys.readouterr().out.splitlines()

    return call


@pytest.fixture
def staging_fails(staged, capsys, tmp_path):
    """Run stage triplets; return its standard error after it exited with 1 and wrote nothing."""

    def call(*arguments, **changes):
        with pytest.raises(SystemExit) as stopped:
            staged(*arguments, **changes)
        assert stopped.value.code == 1
        assert not (tmp_path / "data/triplets").exists()
        assert not (tmp_path / "metrics").exists()
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        return said

    return call


@pytest.fixture(scope="session")
def indexed(prepared, tmp_path_factory):
    """The prepared project with an embedder, a verdict for the hybrid, and an index with token vectors; read only."""
    from hand_made import INDEX
    from sentence_transformers import SentenceTransformer
    from verdicts import make_verdicts

    from stages import index

    folder = tmp_path_factory.mktemp("indexed")
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    saved = SentenceTransformer(str(folder / "tiny"), device="cpu")
    saved.prompts = {"query": "inverse ", "document": "array "}
    saved.save_pretrained(str(folder / "models/embedder"), create_model_card=False)
    path = folder / "metrics/verdict.json"
    make_verdicts(late=True).write(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        index.main(INDEX.split())
    make_verdicts().write(path)
    return folder
