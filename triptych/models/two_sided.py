"""One saved model with an encoder for queries and one for passages, where queries alone were tuned.

It is sentence-transformers' ``Router``: ``encode_query`` and ``encode_document`` take the encoder of their side, and
``encode`` that of passages.
"""

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router


def two_sided(queries: SentenceTransformer, passages: SentenceTransformer) -> SentenceTransformer:
    """Return one model of two, with the prompts of ``queries``; it shares their weights."""
    router = Router.for_query_document(list(queries.children()), list(passages.children()))
    return SentenceTransformer(
        modules=[router],
        device=str(queries.device),
        prompts=queries.prompts,
        similarity_fn_name=queries.similarity_fn_name,
    ).eval()


def sides_of(model: SentenceTransformer) -> tuple[SentenceTransformer, SentenceTransformer]:
    """Return the encoders of queries and of passages of a loaded model: the model itself, unless it is two-sided."""
    if not isinstance(model[0], Router):
        return model, model
    queries, passages = (
        SentenceTransformer(
            modules=list(model[0].sub_modules[side]),
            device=str(model.device),
            prompts=model.prompts,
            similarity_fn_name=model.similarity_fn_name,
        ).eval()
        for side in ("query", "document")
    )
    return queries, passages
