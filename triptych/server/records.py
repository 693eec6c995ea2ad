"""The JSON of requests and responses, which the OpenAPI page shows."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from triptych.server.settings import MAX_AROUND, MAX_QUESTION, MAX_TEXT, MAX_TEXTS

Question = Annotated[str, Field(max_length=MAX_QUESTION, examples=["how do I join two tables on a key"])]
Text = Annotated[str, Field(max_length=MAX_TEXT)]


class Problem(BaseModel):
    """What is wrong, in OpenAI's form."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """The body of every answer that is not 200."""

    error: Problem


class SearchBody(BaseModel):
    """A search."""

    model_config = ConfigDict(extra="forbid")

    question: Question
    k: int = Field(10, ge=1, description="number of hits, at most evaluate.depth")
    category: str | None = Field(None, description="search this category only; /info lists them")


class SnippetRecord(BaseModel):
    """A few lines around the words of the question, and where these are, in code points."""

    text: str
    matches: list[tuple[int, int]]


class HitRecord(BaseModel):
    """A chunk, as `triptych search --json` prints it."""

    model_config = ConfigDict(extra="allow")

    chunk_id: str
    content: str
    category: str
    title: str
    header_path: list[str]
    filename: str
    score: float
    scores: dict[str, float] = Field(description="of each search step, in order; the last one decided")
    snippet: SnippetRecord
    written_question: str | None = Field(None, description="written for this chunk, and nearer than its text")
    url: str | None = Field(None, description="of the chunk's page, if it is known")


class SearchAnswer(BaseModel):
    """Hits, best first."""

    question: str
    hits: list[HitRecord]


class ChunkRecord(BaseModel):
    """A whole chunk."""

    chunk_id: str
    category: str
    title: str
    header_path: list[str]
    filename: str
    content: str
    url: str | None = None


class ReadAnswer(BaseModel):
    """A chunk with those around it in its file, in the order of the file."""

    chunks: list[ChunkRecord]


Around = Annotated[int, Field(ge=0, le=MAX_AROUND, description="chunks before and after it in the same file")]


class EmbeddingsBody(BaseModel):
    """OpenAI's request for embeddings, with the role of the texts."""

    input: Annotated[
        list[Text],
        Field(min_length=1, max_length=MAX_TEXTS),
        BeforeValidator(
            lambda value: [value] if isinstance(value, str) else value, json_schema_input_type=str | list[str]
        ),
    ]
    model: str = Field("embedder", description="embedder, embedder-query or embedder-passage")
    input_type: Literal["query", "passage", "document"] | None = Field(
        None, description="which prompt of the embedder comes before the texts; the model's name may say it too"
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(
        None, ge=1, description="of the vectors, the first ones; without it those that the index keeps"
    )
    user: Any = None


class Embedding(BaseModel):
    """A vector of length 1."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """The tokens that were read, after truncation."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """OpenAI's response."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class Document(BaseModel):
    """A passage to score."""

    text: Text


class RerankBody(BaseModel):
    """A question and the passages to rerank, in the form of Cohere and Jina."""

    query: Question
    documents: Annotated[list[Text | Document], Field(min_length=1, max_length=MAX_TEXTS)]
    model: str | None = Field(None, description="reranker, or embedder for its cosine; default: the promoted reranker")
    top_n: int | None = Field(None, ge=1)
    return_documents: bool = False


class Reranked(BaseModel):
    """A passage by its position in the request, with its score."""

    index: int
    relevance_score: float
    document: Document | None = None


class RerankAnswer(BaseModel):
    """Passages, best first, and the model that scored them."""

    model: str
    results: list[Reranked]


class Info(BaseModel):
    """What is served."""

    chunks: int
    categories: list[str]
    max_k: int
    reranker: bool


class Health(BaseModel):
    """That the server answers."""

    status: Literal["ok"] = "ok"


class ModelRecord(BaseModel):
    """A model's name."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "triptych"


class ModelList(BaseModel):
    """The names that ``model`` may have."""

    object: Literal["list"] = "list"
    data: list[ModelRecord]
