"""The section ``ask`` of ``params.yaml``."""

import re
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from triptych.params.types import Count, Positive, Section

KEY_VARIABLES = ("TRIPTYCH_ASK_KEY", "OPENAI_API_KEY")  # the first that is set is sent
_SECRET_NAME = re.compile(r"key|token|secret|password|auth|credential", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"\b(?:sk|pk|gsk|hf|xai)[-_][\w-]{16,}")
_COMMITTED = f"it would be committed with params.yaml; set the environment variable {KEY_VARIABLES[0]}"


class Ask(Section):
    """Have a language model write questions for the chunks."""

    journal: str | None = Field(
        default=None,
        min_length=1,
        description="The file of all answers ever given (JSON Lines), below `data/journals` or `examples`, to which new"
        " ones are appended; null has no questions.",
    )
    base_url: str | None = Field(
        default=None,
        description="URL of an OpenAI-compatible API, up to `/v1` (`http://localhost:11434/v1`). Null asks nothing and"
        " takes what the journal contains. The API key is read from the environment variable `TRIPTYCH_ASK_KEY`, or"
        " else `OPENAI_API_KEY`.",
    )
    model: str | None = Field(default=None, min_length=1, description="Name of the language model at `base_url`.")
    questions_per_chunk: int = Field(
        default=2,
        ge=1,
        le=12,
        description="Questions to ask for: one like the title of a post, one from another angle, a task, then others.",
    )
    max_chunks: Count | None = Field(
        default=None,
        description="Ask about at most this many chunks, of each category in turn, long ones first; null is all."
        " Chunks without questions lose against those with, so cover all of them if you can.",
    )
    max_tokens: int = Field(
        default=2_000_000,
        ge=1_000,
        description="Tokens, of prompts and answers, that all answers in the journal may have cost together. A request"
        " that could exceed it is not sent.",
    )
    max_answer_tokens: int = Field(
        default=400,
        ge=50,
        description="Tokens of one answer; raise it for a model that thinks before it answers.",
    )
    concurrency: int = Field(default=4, ge=1, le=256, description="Requests at a time.")
    timeout_s: Positive = Field(default=60.0, description="Seconds to wait for one answer.")
    found_in_top: int = Field(
        default=500,
        ge=0,
        description="Keep a question only if the base model with BM25 finds its chunk among this many hits; 0 searches"
        " nothing and keeps all. Few hits drop the questions in users' words, which help most.",
    )

    @model_validator(mode="before")
    @classmethod
    def _no_secret(cls, value: Any) -> Any:
        """Refuse an API key, whatever its name and wherever it is, without repeating it."""
        if isinstance(value, dict):
            for name, given in value.items():
                if name not in cls.model_fields and _SECRET_NAME.search(str(name)):
                    raise ValueError(f"{name}: a key must not be here: {_COMMITTED}")
                if isinstance(given, str) and _SECRET_VALUE.search(given):
                    raise ValueError(f"{name}: contains an API key: {_COMMITTED}")
        return value

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError("is not a URL such as http://localhost:11434/v1") from error
        if parts.username or parts.password or "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(f"must have no user, password or query: {_COMMITTED}")
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError("must begin with http:// or https:// and name a host")
        return url.rstrip("/").removesuffix("/chat/completions")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.base_url is not None and (self.model is None or self.journal is None):
            missing = "model" if self.model is None else "journal"
            remedy = "the model's name" if self.model is None else "a file below data/journals, where answers are kept"
            raise ValueError(f"{missing}: base_url needs it; give {remedy}")
        return self
