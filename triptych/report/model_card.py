"""The model card of a published model: what it is, what decided, its results, and how to load it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from triptych.corpus.records import ALL
from triptych.evaluation.comparison import Measures, NamedInterval
from triptych.evaluation.metrics import METRICS
from triptych.evaluation.verdict import Verdicts
from triptych.models.loading import license_of, locate
from triptych.models.round_record import RoundRecord
from triptych.models.weight_form import FULL
from triptych.params.sections import Model, Params, TrainReranker
from triptych.report.query_groups import against_free, query_groups
from triptych.report.system_names import in_order, system_name

_TITLES = {"tuned": "tuned", "previous": "tuned before and kept", "base": "left unchanged"}
_LOAD_EMBEDDER = """from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{folder}")  # texts are cut at {max_length} tokens
queries = model.encode_query(["how do I join two tables on a key"])
passages = model.encode_document(["Merge two tables on a key."])
model.similarity(queries, passages)"""
_LOAD_RERANKER = """from sentence_transformers import CrossEncoder

model = CrossEncoder("{folder}")
model.predict([("how do I join two tables on a key", "Merge two tables on a key.")])"""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the cards of a run are written from."""

    params: Params
    record: RoundRecord  # of the round that was judged
    verdicts: Verdicts
    measures: Measures
    by_kind: Measures
    intervals: Sequence[NamedInterval]  # against the best search without training
    corpus: str  # hash of ``data/corpus``, as in ``dvc.lock``


@dataclass(frozen=True, slots=True)
class CardContent:
    """What differs between the cards of an embedder and of a reranker."""

    title: str
    task: str  # the Hugging Face Hub's name for what the model does
    system: str  # whose results the metadata has
    base: Model
    usage: list[str]  # how it was trained and is used, in sentences
    reasons: list[str]
    load: str  # Python code


def embedder_card(run: RunFacts, folder: Path) -> str:
    """Return the ``README.md`` of the published embedder, which is the base model where tuning was not promoted.

    ``folder`` is where it is published.
    """
    verdicts, record = run.verdicts, run.record
    late = verdicts.late_interaction
    trained = "Trained: not; these are the base model's weights"
    if verdicts.published != "base":
        trained = (
            f"Trained: {record.method}, up to {record.trained_in}; texts cut at {record.max_length} tokens;"
            f" {record.strength:.0%} of the change is kept, as chosen on dev"
        )
        if record.sides == "query":
            trained += "; queries alone: passages are encoded by the base model, whose index stays as it is"
    form = record.weights
    if form != FULL:
        merged = f"{'dequantized and ' if form.quantized else ''}merged in {form.dtype}"
        trained += f"; evaluated with the base in {form.load_in} (train.load_in), saved {merged}"
    reranking = f"; late interaction reranks {late.reranking}" if late.used else ""
    content = CardContent(
        title=f"Embedder {_TITLES[verdicts.published]} by Triptych",
        task="sentence-similarity",
        system=verdicts.published,
        base=run.params.model,
        usage=[trained, f"Search with {verdicts.search}{reranking}"],
        reasons=[*verdicts.embedder.reasons, *(verdicts.previous.reasons if verdicts.previous else [])],
        load=_LOAD_EMBEDDER.format(folder=folder.as_posix(), max_length=record.max_length),
    )
    return model_card(content, license_of(content.base), run)


def reranker_card(run: RunFacts, base: Model, folder: Path) -> str:
    """Return the ``README.md`` of the published reranker, which was trained from ``base``."""
    trained, reranker = run.params.train_reranker, run.verdicts.reranker
    after = "; late interaction reranks them before" if run.verdicts.late_interaction.used else ""
    content = CardContent(
        title="Reranker chosen by Triptych" if trained.ready else "Reranker tuned by Triptych",
        task="text-ranking",
        system=reranker.system,
        base=base,
        usage=[
            ("Not trained: as it comes" if trained.ready else _how_trained(trained))
            + f"; pairs cut at {trained.max_length} tokens",
            f"Reranks {reranker.reranking} for its score, as chosen on dev{after}",
        ],
        reasons=reranker.reasons,
        load=_LOAD_RERANKER.format(folder=folder.as_posix()),
    )
    return model_card(content, license_of(base), run)


def _how_trained(trained: TrainReranker) -> str:
    return f"Trained: {trained.steps} steps, {trained.method}, {trained.loss} loss"


def model_card(content: CardContent, license_of_base: str | None, run: RunFacts) -> str:
    """Return a card with metadata as the Hugging Face Hub reads it; ``license_of_base`` is None where unknown."""
    intervals = [one for one in run.intervals if one.measure == run.verdicts.measure]
    data = ModelCardData(
        base_model=_hub_name(content.base),
        library_name="sentence-transformers",
        license=license_of_base,
        metrics=list(METRICS),
        model_name=content.title,
        pipeline_tag=content.task,
        tags=["triptych", content.task],
        eval_results=_results(content, run.measures, run.corpus),
    )
    revision = f", revision `{content.base.revision}`" if content.base.revision else ""
    body = "\n".join(
        [
            f"# {content.title}",
            "",
            f"- Base model: `{content.base.base}`{revision}",
            f"- License of the base model: {license_of_base or 'not stated'}",
            f"- Data: `data/corpus`, `{run.corpus}` in `dvc.lock`",
            *(f"- {sentence}" for sentence in content.usage),
            "",
            "```python",
            content.load,
            "```",
            "",
            f"## What decided, on test queries of kind {', '.join(sorted(run.verdicts.kinds))}",
            "",
            *(f"- {reason}" for reason in content.reasons),
            *([f"- {run.verdicts.caveat}"] if run.verdicts.caveat else []),
            *(
                [f"- kinds of question that were taught: {', '.join(run.verdicts.taught)}"]
                if run.verdicts.taught
                else []
            ),
            "",
            *_table(run, intervals),
            "",
        ]
    )
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}"))


def _hub_name(model: Model) -> str | None:
    """Return the base model's name on the Hub, None for a folder or a package."""
    return None if Path(locate(model)).is_dir() else model.base


def _results(content: CardContent, measures: Measures, corpus: str) -> list[EvalResult]:
    """Return a result for each category and metric."""
    return [
        EvalResult(
            task_type=content.task,
            dataset_type="triptych",
            dataset_name=f"test queries, {category}",
            dataset_config=category,  # the Hub groups results by it, not by the name
            dataset_split="test",
            dataset_revision=corpus,
            metric_type=metric,
            metric_value=measures[category][content.system][metric],
        )
        for category in _categories(measures)
        for metric in METRICS
        if metric in measures[category].get(content.system, {})
    ]


def _table(run: RunFacts, intervals: Sequence[NamedInterval]) -> list[str]:
    """Return the lines of a table of all systems by category and kind, with their differences to the baseline."""
    measure = run.verdicts.measure
    against = against_free(intervals, measure)
    lines = [
        f"| queries | system | {measure} | against {system_name(intervals[0].baseline)} |",
        "| --- | --- | ---: | ---: |",
    ]
    for group in query_groups(run.measures, run.by_kind, run.verdicts.taught):
        note = f", {group.note}" if group.note else ""
        name = f"{group.label} ({group.queries}{note})".replace("|", "\\|")
        for system, values in in_order(group.systems):
            found = against.get((group.category, group.kind, system))
            one = found.interval if found else None
            difference = f"{one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}]" if one else ""
            lines.append(f"| {name} | {system_name(system)} | {values[measure]:.3f} | {difference} |")
    return lines


def _categories(measures: Measures) -> list[str]:
    return [ALL, *sorted(measures.keys() - {ALL})]
