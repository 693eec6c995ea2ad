"""Embeddings for clients of OpenAI's API, and reranking: what the saved models themselves return."""

import base64
import shutil

import numpy as np
import pytest
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification
from verdicts import make_verdicts

from triptych import Searcher
from triptych.artifacts import dvc_hash, read_json, write_json
from triptych.serving.searcher import CARD

TEXTS = ["mask an array", "the inverse of rfft " * 40, "naïve 表", ""]
ROLES = {"query": "query", "passage": "document"}


@pytest.fixture(scope="module")
def model(indexed):
    return SentenceTransformer(str(indexed / "models/embedder"), device="cpu")


def expected(model, role):
    encode = model.encode_query if role == "query" else model.encode_document
    return encode(TEXTS, normalize_embeddings=True)


@pytest.mark.parametrize("role", ROLES)
def test_a_client_of_openai_gets_the_vectors_of_the_saved_model(client, model, role):
    openai = pytest.importorskip("openai")
    embeddings = openai.OpenAI(base_url=f"{client.url}/v1", api_key="none", max_retries=0).embeddings
    by_name = embeddings.create(input=TEXTS, model=f"embedder-{role}")
    by_type = embeddings.create(input=TEXTS, model="embedder", extra_body={"input_type": role})
    for answer in (by_name, by_type):
        assert [one.index for one in answer.data] == [0, 1, 2, 3]
        assert np.abs(np.array([one.embedding for one in answer.data]) - expected(model, role)).max() < 1e-5
    rows = model.tokenizer([model.prompts[ROLES[role]] + one for one in TEXTS], truncation=True, max_length=64)
    assert by_name.usage.prompt_tokens == sum(map(len, rows["input_ids"]))
    with pytest.raises(openai.BadRequestError, match="set input_type to query or passage"):
        embeddings.create(input=TEXTS, model="embedder")
    with pytest.raises(openai.NotFoundError, match="known are embedder, embedder-query, embedder-passage"):
        embeddings.create(input=TEXTS, model="text-embedding-3-small")


def test_both_formats_are_the_same_vectors(client, model):
    body = {"input": TEXTS, "model": "embedder-query"}
    as_floats, as_bytes = (
        [
            one["embedding"]
            for one in client.post("/v1/embeddings", json=body | {"encoding_format": form}).json()["data"]
        ]
        for form in ("float", "base64")
    )
    decoded = [np.frombuffer(base64.b64decode(one), "<f4") for one in as_bytes]
    assert np.array_equal(np.array(as_floats, np.float32), np.array(decoded))
    (alone,) = client.post("/v1/embeddings", json=body | {"input": TEXTS[0]}).json()["data"]
    assert alone["embedding"] == as_floats[0]


def test_more_texts_than_are_computed_at_a_time_keep_their_order(client):
    texts = [f"{number} arrays" for number in range(70)]
    body = {"input": texts, "model": "embedder-passage"}
    together = [one["embedding"] for one in client.post("/v1/embeddings", json=body).json()["data"]]
    for number in (0, 15, 16, 17, 69):
        (alone,) = client.post("/v1/embeddings", json=body | {"input": texts[number]}).json()["data"]
        assert alone["embedding"] == together[number]


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"input": []}, 422, "at least 1 item"),
        ({"input": [[1, 2, 3]]}, 422, "valid string"),
        ({"input": ["x"] * 2049}, 422, "at most 2048 items"),
        ({"input": "x" * 100_001}, 422, "at most 100000 characters"),
        ({"dimensions": 33}, 400, "dimensions: the embedder has 32, fewer than 33"),
        ({"dimensions": 0}, 422, "greater than or equal to 1"),
        ({"input_type": "passage"}, 400, "contradict each other"),
        ({"input_type": "song"}, 422, "'query', 'passage' or 'document'"),
    ],
)
def test_what_cannot_be_embedded_is_one_message(client, change, status, said):
    answer = client.post("/v1/embeddings", json={"input": "mask", "model": "embedder-query"} | change)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


def test_vectors_are_cut_to_what_is_asked_for_and_else_to_those_of_the_index(indexed, tmp_path, serve, client):
    def vector(server, **more):
        body = {"input": "mask", "model": "embedder-query"} | more
        return np.array(server.post("/v1/embeddings", json=body).json()["data"][0]["embedding"])

    whole = vector(client)
    first = whole[:8] / np.linalg.norm(whole[:8])
    assert vector(client, dimensions=8) == pytest.approx(first, abs=1e-6)
    shutil.copytree(indexed, tmp_path, dirs_exist_ok=True)
    settings = tmp_path / "data/index/index.json"
    write_json(settings, read_json(settings) | {"dimensions": 8})
    cut = serve(opened(tmp_path))
    assert vector(cut) == pytest.approx(first, abs=1e-6)
    assert vector(cut, dimensions=32) == pytest.approx(whole, abs=1e-6)


def test_without_prompts_the_role_may_be_left_out(indexed, tmp_path, serve):
    shutil.copytree(indexed, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "models/embedder/config_sentence_transformers.json"
    write_json(path, read_json(path) | {"prompts": {}})
    settings = tmp_path / "data/index/index.json"
    record = read_json(settings)
    record["embedder"] = dvc_hash(tmp_path / "models/embedder", CARD)
    record["numpy_encoder"]["prompt"] = ""
    write_json(settings, record)
    client = serve(opened(tmp_path))
    plain, query = (
        client.post("/v1/embeddings", json={"input": "mask", "model": name}).json()["data"]
        for name in ("embedder", "embedder-query")
    )
    assert plain == query


def opened(folder):
    return Searcher(
        folder / "data/index", folder / "models/embedder", folder / "models/reranker", folder / "metrics/verdict.json"
    )


@pytest.fixture(scope="module")
def reranked(indexed, tmp_path_factory):
    """The indexed project with a tiny cross-encoder that its verdict promoted."""
    folder = tmp_path_factory.mktemp("reranked")
    shutil.copytree(indexed, folder, dirs_exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(folder / "models/embedder")
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(tokenizer), num_labels=1, initializer_range=0.5, **shape)
    BertForSequenceClassification(config).save_pretrained(folder / "bare")
    tokenizer.save_pretrained(folder / "bare")
    CrossEncoder(str(folder / "bare"), device="cpu", max_length=64).save_pretrained(str(folder / "models/reranker"))
    make_verdicts(reranked=(5, 1.0)).write(folder / "metrics/verdict.json")
    return folder


PASSAGES = ["Masked arrays hide entries.", "The inverse transform of rfft.", "Sort along an axis."] * 7


def test_the_promoted_reranker_scores(reranked, serve):
    client = serve(opened(reranked))
    body = {"query": "hide entries", "documents": [*PASSAGES[:-1], {"text": PASSAGES[-1]}], "return_documents": True}
    answer = client.post("/v1/rerank", json=body).json()
    model = CrossEncoder(str(reranked / "models/reranker"), device="cpu")
    scores = model.predict([("hide entries", one) for one in PASSAGES])
    assert answer["model"] == "reranker"
    assert {one["index"]: one["relevance_score"] for one in answer["results"]} == pytest.approx(
        dict(enumerate(scores.tolist())), abs=1e-5
    )
    ordered = [one["relevance_score"] for one in answer["results"]]
    assert ordered == sorted(ordered, reverse=True)
    assert all(one["document"]["text"] == PASSAGES[one["index"]] for one in answer["results"])
    assert "reranker" in {one["id"] for one in client.get("/v1/models").json()["data"]}
    assert client.get("/info").json()["reranker"]
    hits = client.post("/search", json={"question": "mask"}).json()["hits"]
    assert list(hits[0]["scores"])[-2:] == ["reranker", "reranked"]


def test_without_a_reranker_the_embedder_scores_and_says_so(client, model):
    body = {"query": "hide entries", "documents": PASSAGES[:3]}
    answer = client.post("/v1/rerank", json=body | {"top_n": 2}).json()
    cosines = model.encode_document(PASSAGES[:3], normalize_embeddings=True) @ model.encode_query(
        "hide entries", normalize_embeddings=True
    )
    assert answer["model"] == "embedder"
    assert [one["index"] for one in answer["results"]] == np.argsort(-cosines)[:2].tolist()
    assert [one["relevance_score"] for one in answer["results"]] == pytest.approx(sorted(cosines)[::-1][:2], abs=1e-5)
    assert all("document" not in one for one in answer["results"])
    refused = client.post("/v1/rerank", json=body | {"model": "reranker"})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("no reranker was promoted: ")


@pytest.mark.parametrize(
    ("change", "status"),
    [({"query": " "}, 400), ({"documents": []}, 422), ({"top_n": 0}, 422), ({"model": "gpt"}, 404)],
)
def test_what_cannot_be_reranked_is_one_message(client, change, status):
    answer = client.post("/v1/rerank", json={"query": "hide", "documents": PASSAGES[:2]} | change)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
