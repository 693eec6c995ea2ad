"""`Searcher` as a retriever of LlamaIndex: ``pip install triptych[llamaindex]``."""

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from triptych.serving.searcher import Searcher


class TriptychRetriever(BaseRetriever):
    """Retrieves nodes for a question: ``TriptychRetriever(Searcher(), k=5).retrieve("how do I ...")``."""

    def __init__(self, searcher: Searcher, k: int = 10, category: str | None = None) -> None:
        super().__init__()
        self._searcher, self._k, self._category = searcher, k, category

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._searcher.search(query_bundle.query_str, self._k, self._category)
        nodes = [TextNode(text=hit.chunk.content, id_=hit.chunk.chunk_id, metadata=hit.metadata()) for hit in hits]
        return [NodeWithScore(node=node, score=hit.score) for node, hit in zip(nodes, hits, strict=True)]
