"""The retrievers of LangChain and LlamaIndex, in the real packages (``make test-extras`` installs them)."""

import pytest

from triptych import Searcher


@pytest.fixture
def searcher(indexed, monkeypatch):
    monkeypatch.chdir(indexed)
    return Searcher()


def test_langchain_gets_documents(searcher):
    pytest.importorskip("langchain_core")
    from triptych.serving.langchain import TriptychRetriever

    hits = searcher.search("mask an array", 3, "ma")
    found = TriptychRetriever(searcher=searcher, k=3, category="ma").invoke("mask an array")
    assert [(one.id, one.page_content) for one in found] == [(hit.chunk.chunk_id, hit.chunk.content) for hit in hits]
    assert found[0].metadata["score"] == hits[0].score
    assert found[0].metadata["title"] == hits[0].chunk.title


def test_llamaindex_gets_nodes(searcher):
    pytest.importorskip("llama_index.core")
    from triptych.serving.llamaindex import TriptychRetriever

    hits = searcher.search("mask an array", 3, "ma")
    found = TriptychRetriever(searcher, k=3, category="ma").retrieve("mask an array")
    assert [(one.node.node_id, one.node.get_content()) for one in found] == [
        (hit.chunk.chunk_id, hit.chunk.content) for hit in hits
    ]
    assert [one.score for one in found] == [hit.score for hit in hits]
    assert found[0].node.metadata["title"] == hits[0].chunk.title
