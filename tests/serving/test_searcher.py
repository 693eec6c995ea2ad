"""`Searcher` against what the stages measured: the same ranking, with and without BM25, PyTorch, a reranker."""

import json
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hand_made import INDEX, ask
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from threadpoolctl import ThreadpoolController
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification
from verdicts import make_verdicts, reranking_verdict

from stages import index
from triptych import Searcher
from triptych.artifacts import read_json, write_json
from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.embedded_text import framed_passage, passage
from triptych.corpus.records import Query, read_chunks
from triptych.encoding.text_encoder import Retriever, load_saved
from triptych.errors import UserError
from triptych.evaluation.chosen_on_dev import FusionChoice
from triptych.params.load import load_params
from triptych.reranker.cross_encoder import load_saved_reranker
from triptych.retrieval.fusion import Fusion
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.rankings import lexical_run

QUESTIONS = ["discrete transform", "mask where a condition is met", "fill_value", "the inverse of rfft", "zebra"]


@pytest.fixture
def project(indexed, tmp_path, monkeypatch):
    shutil.copytree(indexed, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def decide(**verdicts):
    make_verdicts(**verdicts).write(Path("metrics/verdict.json"))


def store_windows(project, number):
    """Let the token store say that stage ``tokenize`` cut this many windows, which stage ``index`` reads there."""
    path = project / "data/tokens/metadata.json"
    write_json(path, read_json(path) | {"max_windows": number})


def ids(hits):
    return [hit.chunk.chunk_id for hit in hits]


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("fusion", [FusionChoice("zscore", 0.6), FusionChoice("rrf", 0.5)])
def test_hits_are_those_of_the_system_that_was_judged(project, write_params, fusion, windows):
    changes = {"model.base": "./tiny", "train.precision": "fp32", "index.precision": "float32"}
    write_params(project, **changes)
    store_windows(project, 8)
    decide(fusion=fusion, windows=windows)
    index.main(INDEX.split())
    if windows:
        assert np.load("data/index/windows.npy").size > len(read_chunks(project / "data/corpus/chunks.parquet"))
    chunks, params = read_chunks(project / "data/corpus/chunks.parquet"), load_params()
    chunk_ids = [chunk.chunk_id for chunk in chunks]
    framed = [framed_passage(chunk, params.triplets.text_template) for chunk in chunks]
    passages = [one.text for one in framed]
    model, queries = load_saved(project / "models/embedder"), [Query(one, one, "user", "") for one in QUESTIONS]
    max_windows = 8 if windows else 1
    dense = Retriever(model, chunk_ids, framed, "fp32", project / "v", "chunks", max_windows).run(queries, 100)
    lexical = lexical_run(LexicalIndex(chunk_ids, passages), queries, 100)
    judged = Fusion(fusion.method, fusion.dense_weight).fuse(dense, lexical, 10)
    searcher = Searcher()
    for question in QUESTIONS:
        hits = searcher.search(question)
        assert ids(hits) == list(judged[question])
        known = {chunk.chunk_id: chunk for chunk in chunks}
        assert all(hit.chunk == known[hit.chunk.chunk_id] for hit in hits)


@pytest.mark.parametrize("max_windows", [1, 8])
def test_hits_with_written_questions_are_those_of_the_system_that_was_judged(project, write_params, max_windows):
    changes = {"model.base": "./tiny", "train.precision": "fp32", "index.precision": "float32"}
    write_params(project, **changes)
    store_windows(project, max_windows)
    chunks, template = read_chunks(project / "data/corpus/chunks.parquet"), load_params().triplets.text_template
    ask(project / "data/questions", written(chunks))
    decide(questions=True, windows=True)
    index.main(INDEX.split())
    chunk_ids = [chunk.chunk_id for chunk in chunks]
    framed = [framed_passage(chunk, template) for chunk in chunks]
    questions = ChunkQuestions.read(project / "data/questions", chunk_ids)
    model, queries = load_saved(project / "models/embedder"), [Query(one, one, "user", "") for one in QUESTIONS]
    dense = Retriever(model, chunk_ids, framed, "fp32", project / "v", "chunks", max_windows, questions)
    texts = questions.added_to([one.text for one in framed])
    lexical = lexical_run(LexicalIndex(chunk_ids, texts), queries, 100)
    judged = Fusion("zscore", 0.6).fuse(dense.run(queries, 100), lexical, 10)
    searcher = Searcher()
    for question in QUESTIONS:
        hits = searcher.search(question)
        assert ids(hits) == list(judged[question])
        assert all("zebra" not in hit.snippet.text for hit in hits)
    (hit,) = searcher.search("what eats the grass of a zebra?", k=1)
    assert hit.chunk.chunk_id == chunk_ids[7]
    assert hit.written_question == hit.record()["written_question"] == "what eats the grass of a zebra?"
    without = next(one for one in searcher.search(QUESTIONS[0], k=100) if chunk_ids.index(one.chunk.chunk_id) % 3 == 0)
    assert without.written_question is None
    assert "written_question" not in without.record()
    category = chunks[7].category
    assert ids(searcher.search("what eats the grass of a zebra?", k=1, category=category)) == [chunk_ids[7]]


def written(chunks):
    """Return questions about some chunks, of other words than theirs."""
    return [
        *((f"what is {row} good for in practice?", chunk.chunk_id) for row, chunk in enumerate(chunks) if row % 3),
        ("what eats the grass of a zebra?", chunks[7].chunk_id),
        ("who asks about a chunk that is gone?", "gone"),
    ]


@pytest.mark.parametrize(("used", "said"), [(True, "has no vectors of written"), (False, "has vectors of written")])
def test_an_index_that_was_built_for_another_verdict_on_questions_is_one_message(project, used, said):
    ask(project / "data/questions", written(read_chunks(project / "data/corpus/chunks.parquet")))
    decide(questions=not used)
    index.main(INDEX.split())
    decide(questions=used)
    with pytest.raises(UserError, match=said):
        Searcher()


def test_scores_are_cosines_of_the_plain_model(project):
    model = SentenceTransformer("models/embedder", device="cpu")
    template = load_params().triplets.text_template
    for hit in Searcher().search("discrete transform", k=20):
        pair = [
            model.encode_query("discrete transform", normalize_embeddings=True),
            model.encode_document(passage(hit.chunk, template), normalize_embeddings=True),
        ]
        if "dense" in hit.scores:
            assert hit.scores["dense"] == pytest.approx(float(pair[0] @ pair[1]), abs=0.02)
        assert list(hit.scores)[-1] == "hybrid"
        assert hit.score == hit.scores["hybrid"]


def test_the_embedder_alone_searches_where_dev_left_bm25_out(project):
    decide(fusion=FusionChoice("zscore", 1.0))
    hits = Searcher().search("fill_value")
    assert {tuple(hit.scores) for hit in hits} == {("dense",)}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_search_is_the_same_with_torch(project):
    light = Searcher().search_all(QUESTIONS)
    path = Path("data/index/index.json")
    settings = json.loads(path.read_text(encoding="utf-8"))
    assert settings["numpy_encoder"]
    path.write_text(json.dumps(settings | {"numpy_encoder": None}), encoding="utf-8")
    for with_torch, without in zip(Searcher().search_all(QUESTIONS), light, strict=True):
        assert ids(with_torch) == ids(without)
        assert [hit.score for hit in with_torch] == pytest.approx([hit.score for hit in without], abs=1e-4)


def test_a_search_in_numpy_imports_no_torch(project):
    code = (
        "import sys; from triptych import Searcher; assert Searcher().search('mask');"
        " assert not {'torch', 'transformers', 'scipy.stats'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("precision", ["int8", "binary"])
def test_a_category_is_kept_to(project, write_params, precision):
    write_params(project, **{"model.base": "./tiny", "train.precision": "fp32", "index.precision": precision})
    index.main(INDEX.split())
    searcher = Searcher()
    assert searcher.categories == ["fft", "ma"]
    hits = searcher.search("mask", k=100, category="fft")
    chunks = read_chunks(project / "data/corpus/chunks.parquet")
    assert sorted(ids(hits)) == sorted(chunk.chunk_id for chunk in chunks if chunk.category == "fft")
    assert {hit.chunk.category for hit in searcher.search("mask", k=100)} == {"fft", "ma"}


@pytest.fixture
def reranker(project):
    """A tiny cross-encoder, saved as any other."""
    tokenizer = AutoTokenizer.from_pretrained("models/embedder")
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(tokenizer), num_labels=1, initializer_range=0.5, **shape)
    BertForSequenceClassification(config).save_pretrained("models/bare")
    tokenizer.save_pretrained("models/bare")
    CrossEncoder("models/bare", device="cpu", max_length=64).save_pretrained("models/reranker")
    return CrossEncoder("models/reranker", device="cpu")


def test_a_promoted_reranker_orders_the_first_hits(project, reranker):
    plain = Searcher().search("mask an array", k=8)
    decide(reranked=(5, 1.0))
    hits = Searcher().search("mask an array", k=8)
    template = load_params().triplets.text_template
    said = reranker.predict([("mask an array", passage(hit.chunk, template)) for hit in plain[:5]]).tolist()
    by_reranker = [one for _, one in sorted(zip(said, ids(plain), strict=False), reverse=True)]
    assert ids(hits) == by_reranker + ids(plain)[5:]
    assert by_reranker != ids(plain)[:5]
    assert list(hits[0].scores)[-2:] == ["reranker", "reranked"]
    assert hits[0].scores["reranker"] == pytest.approx(max(said), abs=1e-5)
    decide(reranked=(5, 0.0))
    assert ids(Searcher().search("mask an array", k=8)) == ids(plain)
    decide(reranker=reranking_verdict("reranked", used=False, reranking=(5, 1.0)))
    assert ids(Searcher().search("mask an array", k=8)) == ids(plain)


def test_late_interaction_orders_the_first_hits_as_the_plain_model_would(project):
    plain = Searcher().search("mask an array", k=8)
    decide(late=(5, 1.0))
    hits = Searcher().search("mask an array", k=8)
    model, template = SentenceTransformer("models/embedder", device="cpu"), load_params().triplets.text_template
    model.max_seq_length = 64
    texts = [passage(hit.chunk, template) for hit in plain[:5]]
    asked, *said = (
        of(text, output_value="token_embeddings", show_progress_bar=False).numpy()
        for of, text in [(model.encode_query, "mask an array"), *((model.encode_document, text) for text in texts)]
    )
    asked, *said = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (asked, *said))
    scores = [float((asked @ one.T).max(axis=1).mean()) for one in said]
    by_tokens = [one for _, one in sorted(zip(scores, ids(plain), strict=False), reverse=True)]
    assert ids(hits) == by_tokens + ids(plain)[5:]
    assert by_tokens != ids(plain)[:5]
    assert list(hits[0].scores)[-2:] == ["maxsim", "late"]
    assert hits[0].scores["maxsim"] == pytest.approx(max(scores), abs=0.01)


def test_late_interaction_is_the_same_without_torch(project):
    decide(late=(20, 0.5))
    light = Searcher().search_all(QUESTIONS)
    path = Path("data/index/index.json")
    path.write_text(
        json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"numpy_encoder": None}), encoding="utf-8"
    )
    for with_torch, without in zip(Searcher().search_all(QUESTIONS), light, strict=True):
        assert ids(with_torch) == ids(without)
        assert [hit.score for hit in with_torch] == pytest.approx([hit.score for hit in without], abs=1e-3)


def test_late_interaction_comes_before_the_reranker(project, reranker):
    decide(late=(5, 0.5), reranked=(5, 0.5))
    assert list(Searcher().search("mask", k=3)[0].scores)[-4:] == ["maxsim", "late", "reranker", "reranked"]


def test_an_index_without_token_vectors_is_one_message(project):
    index.main(INDEX.split())  # the verdict is against them
    assert not list(Path("data/index").glob("token*"))
    decide(late=(5, 0.5))
    with pytest.raises(UserError, match=r"no token vectors, which metrics/verdict\.json requires"):
        Searcher()


@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(path.read_bytes()[:-7]), lambda path: path.unlink()])
@pytest.mark.parametrize("file", ["tokens.i8", "token_offsets.npy"])
def test_damaged_token_vectors_are_one_message(project, file, harm):
    decide(late=(5, 0.5))
    harm(Path("data/index") / file)
    with pytest.raises(UserError, match=r"is damaged \(.*\)"):
        Searcher()


def test_a_promoted_reranker_that_is_not_there_is_one_message(project):
    decide(reranked=(5, 1.0))
    with pytest.raises(UserError, match="models/reranker is missing"):
        Searcher().search("mask")


def test_questions_together_find_what_each_finds_alone(project):
    searcher = Searcher()
    assert searcher.search_all(QUESTIONS, k=3) == [searcher.search(question, k=3) for question in QUESTIONS]
    assert searcher.search_all([]) == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"question": " \n"}, "the question is empty; ask something"),
        ({"question": "mask", "k": 0}, r"k must be 1 to 100 \(evaluate.depth\), got 0"),
        ({"question": "mask", "k": 101}, r"k must be 1 to 100 \(evaluate.depth\), got 101"),
        ({"question": "mask", "category": "linalg"}, "no chunk has the category 'linalg'; known are fft, ma"),
    ],
)
def test_what_cannot_be_asked_is_one_message(project, call, said):
    with pytest.raises(UserError, match=said):
        Searcher().search(**call)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("data/index", "data/index is missing"),
        ("models/embedder", "models/embedder is missing"),
        ("metrics/verdict.json", "metrics/verdict.json is missing"),
    ],
)
def test_what_is_not_there_is_one_message(project, path, said):
    (shutil.rmtree if (project / path).is_dir() else Path.unlink)(project / path)
    with pytest.raises(UserError, match=said):
        Searcher()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"hybrid": {"used"', "Expecting"),
        ("", "Expecting value"),
        ("[]", "list indices"),
        ('{"free": {}, "late_interaction": {}, "taught": [], "basis": ""}', "no 'measure'"),
    ],
)
def test_a_damaged_verdict_is_one_message(project, content, said):
    Path("metrics/verdict.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=rf"metrics/verdict.json is damaged \({said}.*\)"):
        Searcher()


@pytest.fixture(scope="module")
def of_bits(indexed, tmp_path_factory, write_params):
    """The indexed project with vectors at binary, whose index has the most files; read only."""
    folder = tmp_path_factory.mktemp("of_bits")
    shutil.copytree(indexed, folder, dirs_exist_ok=True)
    write_params(folder, **{"model.base": "./tiny", "train.precision": "fp32", "index.precision": "binary"})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        index.main(INDEX.split())
    return folder


def _another_type(path):
    path.write_text(path.read_text(encoding="utf-8").replace('"int32"', '"int#2"'), encoding="utf-8")


def _rows_that_are_not_there(path):
    rows = np.load(path)
    np.save(path, np.full_like(rows, 2**30))


@pytest.mark.parametrize(
    ("file", "harm"),
    [("words/params.index.json", _another_type), ("words/indices.csc.index.npy", _rows_that_are_not_there)],
)
def test_damage_that_only_a_search_finds_is_one_message(of_bits, tmp_path, file, harm):
    shutil.copytree(of_bits / "data/index", tmp_path / "index")
    before = (tmp_path / "index" / file).read_bytes()
    harm(tmp_path / "index" / file)
    assert (tmp_path / "index" / file).read_bytes() != before
    questions = pq.read_table(tmp_path / "index/chunks.parquet")["content"].to_pylist()[:5]
    paths = [of_bits / one for one in ("models/embedder", "models/reranker", "metrics/verdict.json")]
    searcher = Searcher(tmp_path / "index", *paths)
    with pytest.raises(UserError, match=r"index is damaged \("):
        searcher.search_all(questions)


WORDS = ["data.csc", "indices.csc", "indptr.csc"]


@pytest.mark.parametrize("harm", ["cut", "gone"])
@pytest.mark.parametrize(
    "file",
    [
        "chunks.parquet",
        "vectors.faiss",
        "bits.faiss",
        *(f"words/{name}.index.npy" for name in WORDS),
        "words/params.index.json",
        "words/vocab.tokenizer.json",
    ],
)
def test_a_damaged_index_is_one_message(of_bits, tmp_path, file, harm):
    shutil.copytree(of_bits / "data/index", tmp_path / "index")
    path = tmp_path / "index" / file
    if harm == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.unlink()
    with pytest.raises(UserError) as told:
        Searcher(tmp_path / "index", of_bits / "models/embedder", verdict=of_bits / "metrics/verdict.json")
    named = "words" if file.startswith("words") else file
    assert str(told.value).startswith(f"{tmp_path / 'index'}")
    assert named in str(told.value).partition(" is damaged (")[0]
    assert str(told.value).endswith(")")
    assert "\n" not in str(told.value)


def test_damaged_settings_of_an_index_are_one_message(project):
    for content, said in (("{", "Expecting"), ("{}", "no 'numpy_encoder'"), ('{"numpy_encoder": null}', "missing")):
        Path("data/index/index.json").write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=rf"data/index/index.json is damaged \(.*{said}"):
            Searcher()


def test_an_index_whose_parts_are_not_of_one_piece_is_one_message(project):
    table = pq.read_table("data/index/chunks.parquet")
    pq.write_table(table.slice(1), "data/index/chunks.parquet")
    with pytest.raises(UserError, match=rf"vectors.faiss is damaged \({len(table)} vectors of {len(table)} chunks for"):
        Searcher()


def test_an_index_of_another_embedder_is_refused(project):
    (project / "models/embedder/README.md").write_text("Words decide no vector.", encoding="utf-8")
    Searcher()
    model = SentenceTransformer("models/embedder", device="cpu")
    model[0].model.embeddings.word_embeddings.weight.data[7] += 0.5
    model.save_pretrained("models/embedder", create_model_card=False)
    with pytest.raises(
        UserError, match=r"data/index was built with another embedder \(hash \w{12}\) than models/embedder"
    ):
        Searcher()


def test_the_first_hits_are_the_same_however_many_are_asked_for(project):
    searcher = Searcher()
    assert ids(searcher.search("mask where a condition is met", k=100))[:5] == ids(
        searcher.search("mask where a condition is met", k=5)
    )


def test_a_question_is_composed_as_the_texts_are(project, monkeypatch):
    searcher, composed, decomposed = Searcher(), "résumé", unicodedata.normalize("NFD", "résumé")
    assert composed != decomposed
    encoder, read = searcher._loaded_encoder(), []
    for place, name in ((encoder, "encode"), (searcher._lexical, "search")):
        own = getattr(place, name)
        monkeypatch.setattr(place, name, lambda texts, *more, own=own: read.extend(texts) or own(texts, *more))
    searcher.search(decomposed)
    searcher.query_vectors([decomposed])
    assert read == [composed] * 3


def test_a_reranker_reads_the_window_that_was_found(project, reranker, monkeypatch):
    store_windows(project, 8)
    decide(windows=True, reranked=(5, 1.0))
    index.main(INDEX.split())
    searcher, read = Searcher(), []
    own = searcher.relevance
    monkeypatch.setattr(searcher, "relevance", lambda pairs: read.extend(pairs) or own(pairs))
    hits = searcher.search("mask where a condition is met", k=5)
    template, model = load_params().triplets.text_template, SentenceTransformer("models/embedder", device="cpu")
    asked = model.encode_query("mask where a condition is met", normalize_embeddings=True)
    passages = {passage(hit.chunk, template) for hit in hits}
    windows = [text for _, text in read if text not in passages]
    assert windows  # of a chunk whose beginning is not what was found
    for text in windows:
        (whole,) = [one for one in passages if text.split()[-1] in one and text.splitlines()[0] == one.splitlines()[0]]
        near, far = model.encode_document([text, whole], normalize_embeddings=True) @ asked
        assert near > far


def test_a_reranker_is_read_from_safetensors_alone(project, reranker):
    state = load_file("models/reranker/model.safetensors")
    Path("models/reranker/model.safetensors").unlink()
    torch.save(state, "models/reranker/pytorch_model.bin")  # a pickle, which may run code
    decide(reranked=(5, 1.0))
    with pytest.raises(UserError, match=r"models/reranker is damaged .*safetensors"):
        Searcher().search("mask")
    with pytest.raises(UserError, match=r"models/reranker is damaged .*safetensors"):
        load_saved_reranker(Path("models/reranker"))
    Path("models/reranker/model.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match="models/reranker is damaged"):
        Searcher().search("mask")


def test_a_question_is_computed_in_one_thread(project, monkeypatch):
    """A second thread costs more than it saves where the cores have other work."""
    searcher, products = Searcher(), ThreadpoolController().select(threading_layer="pthreads")
    encoder, seen = searcher._loaded_encoder(), []

    def encode(*args):
        seen.append({one["num_threads"] for one in products.info()})
        return type(encoder).encode(encoder, *args)

    monkeypatch.setattr(encoder, "encode", encode)
    with products.limit(limits=3):
        searcher.search("mask")
        searcher.encode(["mask"], "query")
    assert seen == [{1}, {1}]
