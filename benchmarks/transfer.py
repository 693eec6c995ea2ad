"""What training carries over to kinds of question that it does not learn: each kind is left out once.

``python -m benchmarks.transfer --project . [--split test] [--seeds 1 2 3] [--steps 80] [--quick]``

``--project`` is a folder in which ``dvc repro tokenize`` has run. Round 0 is trained on all views, then once without
the views of each kind: ``user`` (query, imported), ``crossref``, ``generated`` and ``pseudo`` (heading, lead, sentence,
phrase). The vectors of each are compared with those of the base model, by kind of query, on dev unless ``--split``
names test. It prints a Markdown table and writes ``metrics/transfer.json``, which the page shows once it is written
again (``dvc repro --force --single-item report``).
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recipes import Recipe, train_seed
from triptych.artifacts import dvc_hash, write_json
from triptych.corpus.records import read_qrels, read_queries
from triptych.errors import UserError
from triptych.evaluation.metrics import per_query
from triptych.evaluation.significance import paired_bootstrap, unbounded
from triptych.evaluators.retrieval_evaluator import load_evaluator
from triptych.models.adapter import Blend
from triptych.models.loading import load_base, tokenizer_fingerprint
from triptych.params.load import load_params
from triptych.params.sections import Params
from triptych.params.triplets import Views
from triptych.tokens.token_store import open_store
from triptych.triplets.examples import read_examples
from triptych.triplets.taught_kinds import taught_kinds
from triptych.triplets.views import VIEWS

_VIEWS = {
    "user": ("query", "imported"),
    "crossref": ("crossref",),
    "generated": ("generated",),
    "pseudo": ("heading", "lead", "sentence", "phrase"),
}
_SAMPLES, _CONFIDENCE = 5000, 0.95


def main(argv: list[str] | None = None) -> None:
    """Train, compare, print the table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--split", choices=("dev", "test"), default="dev", help="whose queries are compared")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--steps", type=int, help="of training; by default those of the first round in params.yaml")
    parser.add_argument("--strength", type=float, default=1.0, help="share of the tuned change in the weights")
    parser.add_argument("--quick", action="store_true", help="two steps, one seed")
    args = parser.parse_args(argv)
    with chdir(args.project):
        seeds, steps = (args.seeds[:1], 2) if args.quick else (args.seeds, args.steps)
        recipe = _recipe(args.split, steps)
        comparison = _Comparison(recipe)
        rows = []
        for left_out, params in left_out_kinds(recipe).items():
            one = replace(recipe, params=params)
            with tempfile.TemporaryDirectory() as scratch:
                values = [
                    comparison.values(train_seed(one, seed, Path(scratch) / str(seed)), args.strength) for seed in seeds
                ]
            row = {"left_out": left_out, "by_kind": comparison.by_kind(values, _taught(one))}
            rows.append(row)
            print(f"{left_out or 'nothing'} left out: done", flush=True)
        metric, steps = recipe.params.promote.measure, _first_round(recipe.params)[1].steps
        record = {"corpus": dvc_hash(Path("data/corpus")), "metric": metric, "split": args.split, "seeds": len(seeds)}
        record |= {"steps": steps, "rows": rows}
        write_json(Path("metrics/transfer.json"), record)
        print("\n".join(table(record)))


def left_out_kinds(recipe: Recipe) -> dict[str, Params]:
    """Return params with the shares of all views that have examples, under "", then without those of each kind."""
    examples = read_examples(recipe.folder / "data/triplets/round0/examples.parquet")
    used = {VIEWS[view] for view in np.unique(examples.view).tolist()}
    shares = {view: share for view, share in recipe.params.triplets.views.model_dump().items() if view in used}
    kinds = [kind for kind, views in _VIEWS.items() if any(shares.get(view, 0.0) > 0 for view in views)]
    if len(kinds) < 2:
        raise UserError(
            f"training learns {' and '.join(kinds) or 'no kind of question'}: there is nothing to leave out"
        )
    return {kind: _with_views(recipe.params, shares, _VIEWS.get(kind, ())) for kind in ["", *kinds]}


def table(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a Markdown table: a row for what was left out, a column for each kind of query."""
    rows = record["rows"]
    kinds = rows[0]["by_kind"]
    heads = [f"{kind} ({one['queries']}), base {one['base']:.3f}" for kind, one in kinds.items()]
    yield f"| left out | {' | '.join(heads)} |"
    yield f"| --- |{' --- |' * len(heads)}"
    for row in rows:
        cells = [
            f"{one['difference']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]{'' if one['taught'] else ', not taught'}"
            for one in row["by_kind"].values()
        ]
        yield f"| {row['left_out'] or 'nothing'} | {' | '.join(cells)} |"


class _Comparison:
    """Compares models with the base model by kind of query."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        queries, qrels = recipe.evaluator.queries, recipe.evaluator.qrels
        document = {chunk.chunk_id: chunk.document_id for chunk in recipe.evaluator.chunks}
        self._ids = [query.query_id for query in queries]
        self._kinds = np.array([query.kind for query in queries])
        self._clusters = np.array([document[min(qrels[one])] for one in self._ids])
        self._base = self.values(Blend(load_base(recipe.params.model), {}), 0.0)

    def values(self, blend: Blend, strength: float) -> np.ndarray:
        """Return the metric of each query at a strength, float64 of shape (queries,)."""
        metric = self._recipe.params.promote.measure
        run = self._recipe.evaluator.dev_run(blend.at(strength), int(metric.rpartition("@")[2]), "transfer")
        values = per_query(self._recipe.evaluator.qrels, run)[metric]
        return np.array([values[one] for one in self._ids])

    def by_kind(self, of_seeds: list[np.ndarray], taught: list[str]) -> dict[str, dict[str, Any]]:
        """Return the mean of some seeds and its difference to the base model, by kind of query."""
        mean = np.mean(of_seeds, axis=0)
        result = {}
        for kind in sorted(set(self._kinds.tolist())):
            chosen = self._kinds == kind
            base, values, clusters = (one[chosen] for one in (self._base, mean, self._clusters))
            one_document = len(set(clusters.tolist())) == 1
            interval = (
                unbounded(values, base)
                if one_document
                else paired_bootstrap(values, base, clusters, _SAMPLES, _CONFIDENCE, 13)
            )
            result[kind] = {
                "queries": interval.queries,
                "taught": kind in taught,
                "base": float(base.mean()),
                "value": float(values.mean()),
                "difference": interval.difference,
                "low": interval.low,
                "high": interval.high,
            }
        return result


def _recipe(split: str, steps: int | None) -> Recipe:
    """Return the recipe of the project in the current folder, with ``steps`` in its first round, or its own."""
    params = load_params()
    if steps is not None:
        name, first = _first_round(params)
        train = params.rounds.train | {name: first.model_copy(update={"steps": steps})}
        params = params.model_copy(update={"rounds": params.rounds.model_copy(update={"train": train})})
    corpus, texts = Path("data/corpus"), Path("data/triplets/texts")
    store = open_store(Path("data/tokens"), tokenizer_fingerprint(load_base(params.model)))
    evaluator = load_evaluator(corpus, texts, [split], store, params.train.precision)
    return Recipe(params, Path(), evaluator, dict.fromkeys(read_qrels(corpus / f"qrels/{split}.tsv"), split))


def _first_round(params: Params) -> tuple[str, Any]:
    return next(iter(params.rounds.train.items()))


def _taught(recipe: Recipe) -> list[str]:
    """Return the kinds of query that training learns with the shares of a recipe."""
    examples = read_examples(recipe.folder / "data/triplets/round0/examples.parquet")
    shares = recipe.params.triplets.views.model_dump()
    learned = np.flatnonzero(np.array([shares[view] > 0 for view in VIEWS])[examples.view])
    corpus = recipe.folder / "data/corpus"
    return taught_kinds(examples.select(learned), read_queries(corpus), read_qrels(corpus / "qrels/train.tsv"))


def _with_views(params: Params, shares: Mapping[str, float], without: tuple[str, ...]) -> Params:
    kept = {view: share for view, share in shares.items() if view not in without}
    total = sum(kept.values())
    views = dict.fromkeys(Views.model_fields, 0.0) | {view: share / total for view, share in kept.items()}
    triplets = params.triplets.model_copy(update={"views": Views(**views)})
    return params.model_copy(update={"triplets": triplets})


if __name__ == "__main__":
    main()
