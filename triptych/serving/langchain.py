"""`Searcher` as a retriever of LangChain: ``pip install triptych[langchain]``."""

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from triptych.serving.searcher import Searcher


class TriptychRetriever(BaseRetriever):
    """Retrieves documents for a question: ``TriptychRetriever(searcher=Searcher(), k=5).invoke("how do I ...")``."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    searcher: Searcher
    k: int = 10
    category: str | None = None

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        hits = self.searcher.search(query, self.k, self.category)
        return [Document(hit.chunk.content, id=hit.chunk.chunk_id, metadata=hit.metadata()) for hit in hits]
