"""Evaluate a recipe: train it with several seeds and compare it with the base model on queries that people wrote.

``python -m benchmarks.recipes --project . [--set triplets.views.lead=1 …] [--docs-only] [--look-at-test] [--quick]``

``--project`` is a folder with ``params.yaml`` and the ``data/corpus`` that ``dvc repro split`` writes. The stages
themselves write everything else to a temporary folder.

``--docs-only`` trains as if there were no links and no questions: their views are off, and linked chunks are not
related. Since the queries of the train split are then not trained on, they are used for evaluation too: those of
documents with an even id join dev, the others test. Strengths are compared on dev. ``--look-at-test``, to be used once
when a recipe is final, evaluates the best of them on test. ``--rounds 2`` evaluates round 0, then round 1.
``--each softmax:lead distill:lead`` trains each view alone with that loss, on the same tokens.
"""

import argparse
import json
import shutil
import sys
import tempfile
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from stages import tokenize_texts, triplets
from triptych.artifacts import writing
from triptych.corpus.records import read_chunks, read_qrels, write_qrels
from triptych.evaluation.metrics import per_query
from triptych.evaluation.significance import paired_bootstrap
from triptych.evaluators.retrieval_evaluator import RetrievalEvaluator, load_evaluator
from triptych.models.adapter import Blend, difference, make_trainable, save_trained
from triptych.models.loading import describe, load_base, tokenizer_fingerprint
from triptych.models.round_record import RoundRecord, write_round_record
from triptych.params.load import load_params
from triptych.params.sections import Params
from triptych.params.triplets import Views
from triptych.tokens.token_store import open_store
from triptych.training.data.training_data import prepare_training_data
from triptych.training.loop.trainer import train
from triptych.triplets.examples import read_examples

_METRIC = "mrr@10"


@dataclass(frozen=True)
class Recipe:
    """The params, data and evaluator that all seeds of a recipe share."""

    params: Params
    folder: Path
    evaluator: RetrievalEvaluator  # for the queries of all splits that are evaluated
    split: dict[str, str]  # query id → dev or test


def apply_settings(raw: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """Return params with each ``section.key=value`` applied; if one sets a view, views that none sets get share 0."""
    views = [one.split("=")[0] for one in settings if one.startswith("triplets.views.")]
    if views:
        raw.setdefault("triplets", {})["views"] = dict.fromkeys(Views.model_fields, 0.0)
    for setting in settings:
        key, value = setting.split("=", 1)
        *path, last = key.split(".")
        section = raw
        for name in path:
            section = section.setdefault(name, {})
        section[last] = yaml.safe_load(value)
    return raw


def run_stages(project: Path, folder: Path, settings: list[str], docs_only: bool) -> Params:
    """Write the triplets and tokens of a recipe into ``folder``; return its params."""
    raw = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    if docs_only:
        views = load_params(project / "params.yaml").triplets.views.model_dump() | {"crossref": 0.0, "query": 0.0}
        views = {view: share / sum(views.values()) for view, share in views.items()}
        raw.setdefault("triplets", {}).update(views=views, exclude_linked=False)
    raw = apply_settings(raw, settings)
    base = Path(raw["model"]["base"])
    if (project / base).exists():
        raw["model"]["base"] = str((project / base).resolve())
    (folder / "params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    for name in ("data/corpus", "data/questions"):
        shutil.copytree(project / name, folder / name)
    if docs_only:
        _move_train_queries(folder / "data/corpus")
    examples = "data/triplets/embedder"
    with chdir(folder), redirect_stdout(sys.stderr):
        triplets.main(
            f"--corpus data/corpus --questions data/questions --texts data/triplets/texts --embedder {examples}"
            " --reranker data/triplets/reranker --heldout data/triplets/heldout --metrics metrics/triplets.json".split()
        )
        tokenize_texts.main(
            f"--texts data/triplets/texts --examples {examples}"
            " --tokens data/tokens --round data/triplets/round0 --base models/base".split()
        )
        return load_params()


def prepare_recipe(project: Path, folder: Path, settings: list[str], docs_only: bool, splits: list[str]) -> Recipe:
    """Write the triplets and tokens of a recipe into ``folder``; the queries of ``splits`` can be evaluated."""
    params = run_stages(project, folder, settings, docs_only)
    corpus, texts = folder / "data/corpus", folder / "data/triplets/texts"
    store = open_store(folder / "data/tokens", tokenizer_fingerprint(load_base(params.model)))
    evaluator = load_evaluator(corpus, texts, splits, store, params.train.precision)
    of_split = {split: read_qrels(corpus / "qrels" / f"{split}.tsv") for split in splits}
    return Recipe(params, folder, evaluator, {query: split for split, judged in of_split.items() for query in judged})


def _move_train_queries(corpus: Path) -> None:
    """Move the queries of train to dev and test, by document."""
    tables = {name: corpus / "qrels" / f"{name}.tsv" for name in ("train", "dev", "test")}
    judged = {name: read_qrels(table) for name, table in tables.items()}
    document = {chunk.chunk_id: chunk.document_id for chunk in read_chunks(corpus / "chunks.parquet")}
    for query, answers in judged.pop("train").items():
        judged["test" if document[min(answers)] % 2 else "dev"][query] = answers
    for name, table in tables.items():
        write_qrels(table, judged.get(name, {}))


def train_seed(recipe: Recipe, seed: int, out: Path, number: int = 0) -> Blend:
    """Train one seed of a recipe up to round ``number``; return its blend with the base.

    Rounds that are in ``out`` are not trained again. A round continues the one before at full strength, and nothing is
    mined in between.
    """
    folder = out / f"round{number}"
    if not folder.exists():
        previous = recipe.folder / "models/base"
        if number:
            train_seed(recipe, seed, out, number - 1)
            previous = out / f"round{number - 1}"
        torch.manual_seed(seed)
        settings = recipe.params.train.model_copy(update={"seed": seed})
        params = recipe.params.model_copy(update={"train": settings})
        round_params = params.rounds.train[folder.name]
        corpus, texts = recipe.folder / "data/corpus", recipe.folder / "data/triplets/texts"
        examples = read_examples(recipe.folder / "data/triplets/round0/examples.parquet")
        model = load_base(params.model)
        max_length = int(recipe.evaluator.store.metadata["max_length"])
        record = RoundRecord(settings.method, describe(params.model, model), max_length, 1.0, folder.name, None)
        training_data = prepare_training_data(
            corpus, texts, recipe.evaluator.store, examples, previous, params, round_params, seed + number
        )
        make_trainable(model, settings, previous if number else None)
        train(model, training_data, settings, round_params.learning_rate)
        with writing(folder) as partial:
            save_trained(model, settings, partial)
            write_round_record(partial, record)
    base = load_base(recipe.params.model)
    return Blend(base, difference(base, folder))


class BaseComparison:
    """Compares models with the base model on the queries of a recipe."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        queries, qrels = recipe.evaluator.queries, recipe.evaluator.qrels
        document = {chunk.chunk_id: chunk.document_id for chunk in recipe.evaluator.chunks}
        self.ids = [query.query_id for query in queries]
        self._split = np.array([recipe.split[one] for one in self.ids])
        self._clusters = np.array([document[min(qrels[one])] for one in self.ids])
        self._category = np.array([query.category for query in queries])
        self._base = self.values(Blend(load_base(recipe.params.model), {}), 0.0)

    def values(self, blend: Blend, strength: float) -> np.ndarray:
        """Return the metric of each query at a strength, float64 of shape (queries,)."""
        run = self._recipe.evaluator.dense_run(blend.at(strength), 10, f"strength {strength:g}")
        metric = per_query(self._recipe.evaluator.qrels, run)[_METRIC]
        return np.array([metric[one] for one in self.ids])

    def row(self, name: str, strength: float, of_seeds: list[np.ndarray], split: str) -> dict[str, Any]:
        """Compare the mean of some seeds with the base on the queries of a split; print and return the row."""
        selected = self._split == split
        base, category = self._base[selected], self._category[selected]
        differences = [values[selected] - base for values in of_seeds]
        mean = np.mean(differences, axis=0)
        interval = paired_bootstrap(base + mean, base, self._clusters[selected], 5000, 0.95, 13)
        by_category = {one: round(float(mean[category == one].mean()), 4) for one in sorted(set(category.tolist()))}
        each = [round(float(one.mean()), 4) for one in differences]
        print(
            f"{name} | {split}, {len(base)} queries | strength {strength:g} | {base.mean():.3f} ->"
            f" {base.mean() + mean.mean():.3f} | {interval.difference:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
            f" | seeds {each} | {by_category}",
            flush=True,
        )
        return {
            "name": name,
            "split": split,
            "strength": strength,
            "base": float(base.mean()),
            _METRIC: float(base.mean() + mean.mean()),
            "difference": interval.difference,
            "low": interval.low,
            "high": interval.high,
            "of_seeds": each,
            "by_category": by_category,
        }


def with_one_view(recipe: Recipe, view: str, loss: str) -> Recipe:
    """Return the recipe with one view alone and one loss."""
    views = dict.fromkeys(recipe.params.triplets.views.model_dump(), 0.0) | {view: 1.0}
    changes = {
        "triplets": recipe.params.triplets.model_copy(update={"views": Views(**views)}),
        "train": recipe.params.train.model_copy(update={"loss": loss}),
    }
    return replace(recipe, params=recipe.params.model_copy(update=changes))


def main() -> None:
    """Train and evaluate; print a row for each strength, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--name", default="default", help="of the recipe, for the table")
    parser.add_argument("--set", nargs="*", default=[], dest="settings", help="params, section.key=value")
    parser.add_argument("--docs-only", action="store_true", help="train without links and questions")
    parser.add_argument("--look-at-test", action="store_true", help="evaluate the best strength on test")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5, 1.0])
    parser.add_argument("--each", nargs="*", default=[], help="loss:view pairs, each trained alone")
    parser.add_argument(
        "--rounds", type=int, default=1, help="evaluated one after the other; nothing is mined in between"
    )
    parser.add_argument("--keep", type=Path, help="a folder for trained models; those in it are not trained again")
    parser.add_argument("--quick", action="store_true", help="five steps, one seed")
    args = parser.parse_args()
    settings = [*args.settings, *(["rounds.train.round0.steps=5"] if args.quick else [])]
    if args.each:
        views = sorted({pair.split(":")[1] for pair in args.each})
        settings += [f"triplets.views.{view}={1 / len(views)}" for view in views]
    splits = ["dev", "test"] if args.look_at_test else ["dev"]
    with tempfile.TemporaryDirectory() as scratch:
        prepared = prepare_recipe(args.project, Path(scratch), settings, args.docs_only, splits)
        comparison = BaseComparison(prepared)
        recipes = {args.name: prepared}
        if args.each:
            recipes = {pair: with_one_view(prepared, *reversed(pair.split(":"))) for pair in args.each}
        seeds = args.seeds[:1] if args.quick else args.seeds
        rows = []
        for index, (name, recipe) in enumerate(recipes.items()):
            models = (args.keep or Path(scratch)) / f"trained{index}"
            for number in range(args.rounds):
                by_strength: dict[float, list[np.ndarray]] = {strength: [] for strength in args.strengths}
                for seed in seeds:
                    blend = train_seed(recipe, seed, models / str(seed), number)
                    for strength, values in by_strength.items():
                        values.append(comparison.values(blend, strength))
                title = name if args.rounds == 1 else f"{name}, round{number}"
                on_dev = [comparison.row(title, strength, values, "dev") for strength, values in by_strength.items()]
                best = max(on_dev, key=lambda row: row[_METRIC])["strength"]
                rows += [*on_dev, *(comparison.row(title, best, by_strength[best], "test") for _ in splits[1:])]
        print(json.dumps({"settings": settings, "docs_only": args.docs_only, "rows": rows}))


if __name__ == "__main__":
    main()
