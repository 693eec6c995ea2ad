"""The sections ``model``, ``ingest`` and ``split`` of ``params.yaml``."""

from typing import Literal

from pydantic import Field, field_validator

from triptych.params.types import Count, Section, Share, Shares


class Model(Section):
    """The embedder to tune, and the prompts it was trained with."""

    base: str = Field(
        min_length=1,
        description="Base model: a hub name, a local folder (`./my-model`), or `package:<name>` for a model that a"
        " Python package contains.",
    )
    revision: str | None = Field(
        default=None, description="Commit of a hub model. Pin it, so that a run can be repeated."
    )
    query_prompt: str | None = Field(
        default=None,
        description='Put before each query, as the model card asks (`"query: "`). Null takes the prompt that comes with'
        ' the model (`config_sentence_transformers.json`); `""` is none, even if the model has one. A file written when'
        ' `""` was the default still means none, and stage `tokenize` prints which prompt it leaves out.',
    )
    passage_prompt: str | None = Field(
        default=None,
        description='Put before each passage, as the model card asks (`"passage: "`); null and `""` as for'
        " `query_prompt`.",
    )


class Source(Section):
    """One file, folder or package to read chunks from."""

    path: str = Field(
        min_length=1, description="A file, a folder, or the name of an installed Python package or module."
    )
    format: Literal["auto", "json", "jsonl", "csv", "parquet", "beir", "markdown", "html", "package"] = Field(
        default="auto", description="Format of the source; `auto` goes by the file name."
    )
    category: str | None = Field(
        default=None, min_length=1, description="Category of all its chunks; null reads it from each record."
    )
    encoding: str | None = Field(
        default=None,
        description="Text encoding, such as `cp1252`, where files are neither UTF-8 nor marked with an encoding.",
    )

    editions: Literal["one", "all"] = Field(
        default="one",
        description="Of a folder with several versions or languages of one site, `one` reads the released or newest"
        " version and the most complete language, preferably English; `all` reads every one. To choose another, give"
        " its folder as `path`.",
    )

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str | None) -> str | None:
        try:
            "".encode(encoding or "utf-8")
        except LookupError as error:
            raise ValueError(f"{error}; use one that Python knows, such as cp1252 or utf-16-le") from error
        return encoding


class Fields(Section):
    """Names of the fields in your chunk records; null tries the usual names."""

    chunk_id: str | None = Field(
        default=None,
        description="Id of the chunk; null tries `chunk_id`, `id`, `_id`, `uuid` and others, and without one derives"
        " the id from the content.",
    )
    category: str | None = Field(
        default=None,
        description="Category, where the source gives none; null tries `category`, `domain`, `collection` and others.",
    )
    filename: str | None = Field(
        default=None, description="Document; null tries `filename`, `file`, `path`, `source`, `url` and others."
    )
    header_path: str | None = Field(
        default=None,
        description="Headings from the top: a list, or one string such as `A > B > C`; null tries `header_path`,"
        " `headings`, `breadcrumbs`, `section` and others.",
    )
    title: str | None = Field(
        default=None,
        description="Title; null tries `title` and `name`, and without one uses the last heading of the header path.",
    )
    content: str | None = Field(
        default=None, description="Text; null tries `content`, `text`, `body`, `page_content` and others."
    )


class Ingest(Section):
    """Read the sources into chunks."""

    sources: list[Source] = Field(min_length=1, description="What to read.")
    fields: Fields = Field(default_factory=Fields)
    max_content_chars: int = Field(
        default=4000,
        ge=200,
        description="Longer texts are split at headings, else between paragraphs, else between sentences.",
    )
    min_content_chars: int = Field(
        default=0,
        ge=0,
        description="Shorter texts are merged into the section above them, if they belong to it; 0 merges none.",
    )
    on_bad_file: Literal["stop", "skip"] = Field(
        default="stop",
        description="What to do with a file that cannot be read: `stop`, or `skip` the rest of it with a warning.",
    )
    max_rejected_share: Share = Field(
        default=0.05, description="Stop if more than this share of a source's records is rejected."
    )
    min_link_words: Count = Field(default=3, description="Link texts with fewer words are not used as queries.")


class NearDuplicates(Section):
    """MinHash over word shingles, verified by exact Jaccard similarity."""

    shingle_words: Count = Field(default=3, description="Words per shingle.")
    threshold: float = Field(
        default=0.8, gt=0.0, le=1.0, description="Jaccard similarity from which two chunks are near-duplicates."
    )
    permutations: int = Field(default=128, ge=16, description="Length of the MinHash signature.")


class Fractions(Shares):
    """Shares of train, dev and test."""

    train: Share = Field(default=0.7, description="Share of the chunks for training.")
    dev: Share = Field(default=0.1, description="Share of the chunks for dev, on which settings are chosen.")
    test: Share = Field(default=0.2, description="Share of the chunks for test, on which the verdict is based.")


class Split(Section):
    """Divide the documents into train, dev and test."""

    seed: int = Field(default=13, description="Seed of the assignment.")
    fractions: Fractions = Field(default_factory=Fractions)
    near_duplicates: NearDuplicates = Field(default_factory=NearDuplicates)
    language: str = Field(
        default="auto",
        pattern="^(auto|[a-z]{2})$",
        description="Language of the texts as a two-letter code (`de`, `zh`), whose stop words BM25 leaves out; `auto`"
        " takes that of most texts.",
    )
    group_titles: Literal["auto"] | bool = Field(
        default="auto",
        description="Keep chunks with equal titles in one split (`numpy.max`, `DataFrame.max`). `auto` does so for rare"
        ' titles; of titles that many pages share, such as "Overview", only where the chunks are alike.',
    )
    queries: str | None = Field(
        default=None,
        description="A BEIR folder (`queries.jsonl`, `qrels/*.tsv`) with questions of your own users. Without"
        " `qrels/train.tsv` they only judge, beside what authors judged, and move no document. A corpus-id is the id of"
        " a chunk, or the file name or title of a page.",
    )
    previous: str | None = Field(
        default=None,
        min_length=1,
        description="The last publication, a folder that `triptych keep` wrote: its documents and questions keep their"
        " split, its embedder is compared with the new one, and its test queries are judged by themselves too."
        " `train.start_from` says what training starts from.",
    )
    min_train_queries: Count = Field(
        default=300,
        description="With fewer questions and usable links than this, all of them go to dev and test, where they judge;"
        " training uses material that needs no labels. 1 always trains on some of them.",
    )
    min_queries: Count = Field(
        default=20,
        description="Categories with fewer test queries than this, or with queries about fewer than 5 documents, are"
        " judged together, and no claim is made about them.",
    )
    warn_queries: Count = Field(default=100, description="Warn if a category has fewer dev or test queries than this.")
