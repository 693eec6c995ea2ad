"""The section ``triplets`` of ``params.yaml``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from triptych.params.types import Count, Positive, Section, Share, Shares


class Views(Shares):
    """Share of each kind of (anchor, positive)."""

    query: Share
    crossref: Share
    heading: Share
    lead: Share
    sentence: Share
    phrase: Share
    sibling: Share
    imported: Share


class Tiers(Shares):
    """Shares of the three tiers of negatives."""

    easy: Share
    medium: Share
    hard: Share


class EasyStrategies(Shares):
    """Shares of the five ways to find an easy negative."""

    other_domain: Share
    other_file: Share
    other_path: Share
    low_lexical: Share
    random: Share


class Easy(Section):
    """Cross-topic negatives."""

    strategies: EasyStrategies
    lexical_max: Share


class Medium(Section):
    """Neighbors: overlaps from low to high."""

    path: list[Share] = Field(min_length=2, max_length=2)
    lexical: list[Share] = Field(min_length=2, max_length=2)

    @model_validator(mode="after")
    def _from_low_to_high(self) -> Self:
        for name in ("path", "lexical"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: must go from low to high, got [{low:g}, {high:g}]")
        return self


class Hard(Section):
    """Confusing overlap, of path or words."""

    path_min: Share
    lexical_min: Share
    lexical_max: Share
    path_weight: Share

    @model_validator(mode="after")
    def _from_low_to_high(self) -> Self:
        if self.lexical_min > self.lexical_max:
            raise ValueError(f"lexical_min: must not pass lexical_max, got {self.lexical_min:g}, {self.lexical_max:g}")
        return self


class TierRules(Section):
    """What makes a candidate easy, medium or hard."""

    easy: Easy
    medium: Medium
    hard: Hard


class CandidateLimits(Section):
    """How many chunks are looked at for each anchor."""

    lexical: Count
    per_prefix: Count
    distant: Count
    postings: Count


class Profiles(Section):
    """The mix of tiers for each model."""

    embedder: Tiers
    reranker: Tiers


PROFILES = tuple(Profiles.model_fields)


class Triplets(Section):
    """Stage ``triplets``."""

    seed: int
    text_template: str
    imported: str | None
    views: Views
    anchors_per_chunk: Count
    repeat_anchors: Count
    same_source_positives: Share
    balance: Literal["equal", "proportional", "sqrt"] | Annotated[dict[str, Positive], Field(min_length=1)]
    min_triplets_per_category: Count
    profiles: Profiles
    negatives_per_anchor: Count
    cap_per_anchor: Count
    cap_per_negative: Count
    cross_category_hard: Share
    exclude_linked: bool
    tiers: TierRules
    candidates: CandidateLimits

    @model_validator(mode="after")
    def _template_has_content(self) -> Self:
        try:
            self.text_template.format(category="", header_path="", title="", content="")
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(
                f"text_template: takes {{category}}, {{header_path}}, {{title}}, {{content}}; {error}"
            ) from error
        if "{content}" not in self.text_template:
            raise ValueError("text_template: must hold {content}")
        return self

    @model_validator(mode="after")
    def _imported_has_a_share(self) -> Self:
        if (self.imported is not None) != (self.views.imported > 0):
            raise ValueError("imported: name a file and give views.imported a share, or neither")
        return self
