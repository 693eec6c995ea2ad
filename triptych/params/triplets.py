"""The section ``triplets`` of ``params.yaml``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from triptych.params.types import Count, Positive, Section, Share, Shares


class Views(Shares):
    """Share of each kind of (anchor, positive); a view without anchors gives its share to the others."""

    query: Share = Field(default=0.0, description="Your users' questions of the train split, with their answers.")
    crossref: Share = Field(
        default=0.3, description="What authors judged (link texts, descriptions beside them), with its target."
    )
    heading: Share = Field(default=0.06, description="Last headings of a chunk, with the chunk.")
    lead: Share = Field(default=0.08, description="First sentence of a chunk, with the chunk.")
    sentence: Share = Field(default=0.0, description="A sentence of a chunk, with the rest of the chunk.")
    phrase: Share = Field(default=0.06, description="A few words of a sentence, with the chunk.")
    sibling: Share = Field(
        default=0.0,
        description="A chunk, with another under the same header. It lowers retrieval metrics: see `docs/recipes.md`.",
    )
    imported: Share = Field(default=0.0, description="The anchors of `triplets.imported`.")
    generated: Share = Field(
        default=0.5, description="Questions that a language model wrote for a chunk, with the chunk."
    )


class EmbedderTiers(Shares):
    """Mix of tiers for the embedder."""

    easy: Share = Field(default=0.3, description="Share of easy negatives: another topic.")
    medium: Share = Field(default=0.4, description="Share of medium negatives: neighbors.")
    hard: Share = Field(default=0.3, description="Share of hard negatives: easily confused with the positive.")


class RerankerTiers(Shares):
    """Mix of tiers for the reranker, which needs harder negatives than the embedder."""

    easy: Share = Field(default=0.2, description="Share of easy negatives.")
    medium: Share = Field(default=0.35, description="Share of medium negatives.")
    hard: Share = Field(default=0.45, description="Share of hard negatives.")


class EasyStrategies(Shares):
    """Shares of the five ways to choose an easy negative."""

    other_domain: Share = Field(default=0.6, description="From another category.")
    other_file: Share = Field(default=0.1, description="From another file.")
    other_path: Share = Field(default=0.1, description="From under another header path.")
    low_lexical: Share = Field(default=0.1, description="With little lexical overlap.")
    random: Share = Field(default=0.1, description="At random.")


class Easy(Section):
    """Easy negatives: another topic."""

    strategies: EasyStrategies = Field(default_factory=EasyStrategies)
    lexical_max: Share = Field(
        default=0.1, description="Highest lexical overlap with the positive for strategy `low_lexical`."
    )


class Medium(Section):
    """Medium negatives: neighbors, with an overlap between two bounds."""

    path: list[Share] = Field(
        default=[0.2, 0.5],
        min_length=2,
        max_length=2,
        description="Lowest and highest shared part of the header path. A section of the same file is medium too.",
    )
    lexical: list[Share] = Field(
        default=[0.2, 0.4],
        min_length=2,
        max_length=2,
        description="Lowest and highest lexical overlap, used where no chunk is medium by its path.",
    )

    @model_validator(mode="after")
    def _from_low_to_high(self) -> Self:
        for name in ("path", "lexical"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: must go from low to high, got [{low:g}, {high:g}]")
        return self


class Hard(Section):
    """Hard negatives: a high overlap of header paths or of words."""

    path_min: Share = Field(default=0.5, description="A chunk that shares more of the header path is hard.")
    lexical_min: Share = Field(default=0.4, description="A chunk with more lexical overlap is hard.")
    lexical_max: Share = Field(
        default=1.0,
        description="A chunk with more lexical overlap is not used as a negative: it probably repeats the positive.",
    )
    path_weight: Share = Field(
        default=0.5, description="Weight of the path in the ranking of hard candidates; the rest is lexical overlap."
    )

    @model_validator(mode="after")
    def _from_low_to_high(self) -> Self:
        if self.lexical_min > self.lexical_max:
            raise ValueError(
                f"lexical_min: must be at most lexical_max ({self.lexical_max:g}), got {self.lexical_min:g}"
            )
        return self


class TierRules(Section):
    """What makes a candidate easy, medium or hard. Lexical overlap is the overlap coefficient of the words."""

    easy: Easy = Field(default_factory=Easy)
    medium: Medium = Field(default_factory=Medium)
    hard: Hard = Field(default_factory=Hard)


class CandidateLimits(Section):
    """Candidates per anchor and source; the cost does not grow with the corpus."""

    lexical: Count = Field(default=50, description="Candidates by lexical search.")
    per_prefix: Count = Field(
        default=12, description="Candidates for each prefix of the header path, and from the same file."
    )
    distant: Count = Field(
        default=12, description="Candidates from other categories, and from the whole corpus at random."
    )
    postings: Count = Field(default=200, description="Chunks read for each word of the lexical search.")


class Profiles(Section):
    """Mix of tiers for each model, enforced in every category."""

    embedder: EmbedderTiers = Field(default_factory=EmbedderTiers)
    reranker: RerankerTiers = Field(default_factory=RerankerTiers)


PROFILES = tuple(Profiles.model_fields)


class Triplets(Section):
    """Make anchors, positives and pools of negatives from the chunks."""

    seed: int = Field(default=13, description="Seed of all draws.")
    text_template: str = Field(
        default="{header_path}\n{content}",
        description="The passage that is embedded. It may use `{category}`, `{header_path}`, `{title}` and must use"
        " `{content}`.",
    )
    imported: str | None = Field(
        default=None,
        description="Triplets made elsewhere (`.csv`, `.parquet`), with columns anchor, positive, negative, difficulty,"
        " category. Give `views.imported` a share too.",
    )
    views: Views = Field(default_factory=Views)
    anchors_per_chunk: Count = Field(default=2, description="At most this many anchors of one view from one chunk.")
    max_anchors: Count = Field(
        default=300_000,
        description="At most this many anchors in all; of more, those of rare views and categories and a sample of the"
        " others. Training draws some thousands, and the rest would only cost time.",
    )
    repeat_anchors: Count = Field(
        default=5,
        description="At most this many rows of an epoch for each anchor of a view; a small view gives the rest of its"
        " share to the others.",
    )
    same_source_positives: Share | None = Field(
        default=None,
        description="Share of positives in the category of their anchor, in the views that links make, `crossref` and"
        " `sibling`: links into other categories beyond the rest are left out. Links are the only such positives, so"
        " the share may be higher, which stage `triplets` then says. null leaves out none in `crossref`, and is 0.7 in"
        " `sibling`.",
    )
    balance: Literal["equal", "proportional", "sqrt"] | Annotated[dict[str, Positive], Field(min_length=1)] = Field(
        default="equal",
        description="Weights of the categories, in training too: `equal`, `proportional` to their anchors, to the"
        " `sqrt` of their anchors, or a weight for each (`{api: 2, guide: 1}`).",
    )
    min_triplets_per_category: Count = Field(
        default=300,
        description="Warn if a category has fewer triplets than this, or than a quarter of its chunks where that is"
        " more.",
    )
    profiles: Profiles = Field(default_factory=Profiles)
    negatives_per_anchor: Count = Field(
        default=4, description="Size of the pool per tier and anchor; each epoch draws from it again."
    )
    cap_per_anchor: Count = Field(
        default=12, description="Most triplets of a tier with the same chunk as positive, in an epoch."
    )
    cap_per_negative: Count = Field(
        default=20, description="Most triplets with the same chunk as negative, in an epoch."
    )
    cross_category_hard: Share = Field(
        default=0.3,
        description="Share of hard negatives from another category, which use the same terms about something else.",
    )
    exclude_linked: bool = Field(
        default=True, description="Chunks that link to each other are never used as negatives of each other."
    )
    tiers: TierRules = Field(default_factory=TierRules)
    candidates: CandidateLimits = Field(default_factory=CandidateLimits)

    @model_validator(mode="after")
    def _template_has_content(self) -> Self:
        try:
            self.text_template.format(category="", header_path="", title="", content="")
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(
                f"text_template: may use {{category}}, {{header_path}}, {{title}}, {{content}}; {error}"
            ) from error
        if "{content}" not in self.text_template:
            raise ValueError("text_template: must contain {content}")
        return self

    @model_validator(mode="after")
    def _imported_has_a_share(self) -> Self:
        if (self.imported is not None) != (self.views.imported > 0):
            raise ValueError("imported: name a file and give views.imported a share, or neither")
        return self
