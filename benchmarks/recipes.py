"""What a recipe is worth: train it with several seeds, compare it with the base model on queries that people wrote.

``python -m benchmarks.recipes --project . [--set triplets.views.lead=1 …] [--docs-only] [--look-at-test] [--quick]``

``--project`` is a folder with ``params.yaml`` and the ``data/corpus`` that ``dvc repro split`` leaves. Everything else
is made anew in a temporary folder by the stages themselves.

``--docs-only`` trains as if there were no link and no question: no such view, links are no relation. Since no link is
trained on, those of the train side are judged too: ones of documents with an even number join dev, the others test.
Strengths are compared on dev. ``--look-at-test``, to be used once for a recipe that is settled, judges the best of them
on test. ``--rounds 2`` judges round 0, then round 1. ``--each softmax:lead distill:lead`` trains each view alone with
that loss, over one set of tokens.
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

_MEASURE = "mrr@10"


@dataclass(frozen=True)
class Made:
    """What all seeds of a recipe share."""

    params: Params
    folder: Path
    evaluator: RetrievalEvaluator  # of the queries of all splits that are looked at
    split: dict[str, str]  # query id → dev or test


def changed(raw: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """Return params with ``section.key=value`` applied; a view that is named alone gets its share and others none."""
    named = [one.split("=")[0] for one in settings if one.startswith("triplets.views.")]
    if named:
        raw["triplets"]["views"] = dict.fromkeys(Views.model_fields, 0.0)
    for setting in settings:
        key, value = setting.split("=", 1)
        *path, last = key.split(".")
        section = raw
        for name in path:
            section = section.setdefault(name, {})
        section[last] = yaml.safe_load(value)
    return raw


def run_stages(project: Path, folder: Path, settings: list[str], docs_only: bool) -> Params:
    """Make triplets and tokens of a recipe in ``folder``; return its params."""
    raw = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    if docs_only:
        raw["triplets"]["exclude_linked"] = False
        views = raw["triplets"]["views"] | {"crossref": 0.0, "query": 0.0}
        raw["triplets"]["views"] = {view: share / sum(views.values()) for view, share in views.items()}
    raw = changed(raw, settings)
    base = Path(raw["model"]["base"])
    if (project / base).exists():
        raw["model"]["base"] = str((project / base).resolve())
    (folder / "params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    shutil.copytree(project / "data/corpus", folder / "data/corpus")
    if docs_only:
        _judge_all(folder / "data/corpus")
    made = "data/triplets/embedder"
    with chdir(folder), redirect_stdout(sys.stderr):
        triplets.main(
            f"--corpus data/corpus --texts data/triplets/texts --embedder {made} --reranker data/triplets/reranker"
            " --heldout data/triplets/heldout --metrics metrics/triplets.json".split()
        )
        tokenize_texts.main(
            f"--texts data/triplets/texts --examples {made}"
            " --tokens data/tokens --round data/triplets/round0 --base models/base".split()
        )
        return load_params()


def make(project: Path, folder: Path, settings: list[str], docs_only: bool, splits: list[str]) -> Made:
    """Make triplets and tokens of a recipe in ``folder``; the queries of ``splits`` can be judged."""
    params = run_stages(project, folder, settings, docs_only)
    corpus, texts = folder / "data/corpus", folder / "data/triplets/texts"
    store = open_store(folder / "data/tokens", tokenizer_fingerprint(load_base(params.model)))
    evaluator = load_evaluator(corpus, texts, splits, store, params.train.precision)
    of_split = {split: read_qrels(corpus / "qrels" / f"{split}.tsv") for split in splits}
    return Made(params, folder, evaluator, {query: split for split, judged in of_split.items() for query in judged})


def _judge_all(corpus: Path) -> None:
    """Deal the queries of train, by document, to dev and test."""
    tables = {name: corpus / "qrels" / f"{name}.tsv" for name in ("train", "dev", "test")}
    judged = {name: read_qrels(table) for name, table in tables.items()}
    document = {chunk.chunk_id: chunk.document_id for chunk in read_chunks(corpus / "chunks.parquet")}
    for query, found in judged.pop("train").items():
        judged["test" if document[min(found)] % 2 else "dev"][query] = found
    for name, table in tables.items():
        write_qrels(table, judged.get(name, {}))


def trained(made: Made, seed: int, place: Path, number: int = 0) -> Blend:
    """Train one seed of a recipe up to round ``number``; return its blend with the base.

    What lies in ``place`` is not trained again. A round learns from the one before at full strength, and nothing is
    mined in between.
    """
    folder = place / f"round{number}"
    if not folder.exists():
        previous = made.folder / "models/base"
        if number:
            trained(made, seed, place, number - 1)
            previous = place / f"round{number - 1}"
        torch.manual_seed(seed)
        settings = made.params.train.model_copy(update={"seed": seed})
        params = made.params.model_copy(update={"train": settings})
        turn = params.rounds.train[folder.name]
        corpus, texts = made.folder / "data/corpus", made.folder / "data/triplets/texts"
        examples = read_examples(made.folder / "data/triplets/round0/examples.parquet")
        model = load_base(params.model)
        cut = int(made.evaluator.store.metadata["max_length"])
        record = RoundRecord(settings.method, describe(params.model, model), cut, 1.0, folder.name, None)
        material = prepare_training_data(
            corpus, texts, made.evaluator.store, examples, previous, params, turn, seed + number
        )
        make_trainable(model, settings, previous if number else None)
        train(model, material, settings, turn.learning_rate)
        with writing(folder) as out:
            save_trained(model, settings, out)
            write_round_record(out, record)
    fresh = load_base(made.params.model)
    return Blend(fresh, difference(fresh, folder))


class Exam:
    """The judged queries of a recipe, and what the base model makes of them."""

    def __init__(self, made: Made) -> None:
        self._made = made
        queries, qrels = made.evaluator.queries, made.evaluator.qrels
        document = {chunk.chunk_id: chunk.document_id for chunk in made.evaluator.chunks}
        self.ids = [query.query_id for query in queries]
        self._split = np.array([made.split[one] for one in self.ids])
        self._clusters = np.array([document[min(qrels[one])] for one in self.ids])
        self._category = np.array([query.category for query in queries])
        self._base = self.values(Blend(load_base(made.params.model), {}), 0.0)

    def values(self, blend: Blend, strength: float) -> np.ndarray:
        """Return the measure of each query."""
        run = self._made.evaluator.dense_run(blend.at(strength), 10, f"strength {strength:g}")
        found = per_query(self._made.evaluator.qrels, run)[_MEASURE]
        return np.array([found[one] for one in self.ids])

    def row(self, name: str, strength: float, of_seeds: list[np.ndarray], split: str) -> dict[str, Any]:
        """Compare the mean of some seeds with the base on the queries of a split; print it."""
        here = self._split == split
        base, category = self._base[here], self._category[here]
        differences = [values[here] - base for values in of_seeds]
        mean = np.mean(differences, axis=0)
        interval = paired_bootstrap(base + mean, base, self._clusters[here], 5000, 0.95, 13)
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
            _MEASURE: float(base.mean() + mean.mean()),
            "difference": interval.difference,
            "low": interval.low,
            "high": interval.high,
            "of_seeds": each,
            "by_category": by_category,
        }


def alone(made: Made, view: str, loss: str) -> Made:
    """Return the recipe with one view and one loss."""
    views = dict.fromkeys(made.params.triplets.views.model_dump(), 0.0) | {view: 1.0}
    changes = {
        "triplets": made.params.triplets.model_copy(update={"views": Views(**views)}),
        "train": made.params.train.model_copy(update={"loss": loss}),
    }
    return replace(made, params=made.params.model_copy(update=changes))


def main() -> None:
    """Train and judge; print a row for each strength, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--name", default="default")
    parser.add_argument("--set", nargs="*", default=[], dest="settings")
    parser.add_argument("--docs-only", action="store_true")
    parser.add_argument("--look-at-test", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5, 1.0])
    parser.add_argument("--each", nargs="*", default=[], help="loss:view pairs, each trained alone")
    parser.add_argument("--rounds", type=int, default=1, help="judged one after the other; nothing is mined in between")
    parser.add_argument("--keep", type=Path, help="a folder for what is trained; what lies there is not trained again")
    parser.add_argument("--quick", action="store_true", help="five steps, one seed")
    args = parser.parse_args()
    settings = [*args.settings, *(["rounds.train.round0.steps=5"] if args.quick else [])]
    if args.each:
        views = sorted({pair.split(":")[1] for pair in args.each})
        settings += [f"triplets.views.{view}={1 / len(views)}" for view in views]
    splits = ["dev", "test"] if args.look_at_test else ["dev"]
    with tempfile.TemporaryDirectory() as scratch:
        made = make(args.project, Path(scratch), settings, args.docs_only, splits)
        exam = Exam(made)
        recipes = {pair: alone(made, *reversed(pair.split(":"))) for pair in args.each} or {args.name: made}
        rows = []
        for number, (name, recipe) in enumerate(recipes.items()):
            seeds, kept = (
                args.seeds[:1] if args.quick else args.seeds,
                (args.keep or Path(scratch)) / f"trained{number}",
            )
            for turn in range(args.rounds):
                found: dict[float, list[np.ndarray]] = {strength: [] for strength in args.strengths}
                for seed in seeds:
                    blend = trained(recipe, seed, kept / str(seed), turn)
                    for strength, values in found.items():
                        values.append(exam.values(blend, strength))
                title = name if args.rounds == 1 else f"{name}, round{turn}"
                on_dev = [exam.row(title, strength, values, "dev") for strength, values in found.items()]
                best = max(on_dev, key=lambda row: row[_MEASURE])["strength"]
                rows += [*on_dev, *(exam.row(title, best, found[best], "test") for _ in splits[1:])]
        print(json.dumps({"settings": settings, "docs_only": args.docs_only, "rows": rows}))


if __name__ == "__main__":
    main()
