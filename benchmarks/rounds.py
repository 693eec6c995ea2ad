"""Does re-mining help? Round 0 once per seed, then further rounds with and without mining from the same start.

``python -m benchmarks.rounds --project . [--seeds 1 2 3] [--steps 35] [--keep folder] [--quick]``

``--project`` is a folder with ``params.yaml`` and the ``data/corpus`` that ``dvc repro split`` writes. Arms: no mining
(the heuristic pools again), raw (the nearest neighbors without any filter, for in-batch negatives either), filtered
(params.yaml), filtered with the base model as guide, and filtered, then again within the round (``train.mine_every``)
after each half of ``--steps``. They are evaluated on dev queries at full strength, against the base model and against
the same number of steps without mining, by paired bootstrap over documents. Models and scores are stored in ``--keep``;
an interrupted run continues from there.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch

from benchmarks.recipes import BaseComparison, Recipe, prepare_recipe
from triptych.corpus.records import Chunk, read_links
from triptych.encoding.mining_vectors import vectors_for_mining
from triptych.evaluation.significance import paired_bootstrap
from triptych.ids import ChunkRows
from triptych.models.adapter import Blend, difference, make_trainable, save_trained
from triptych.models.loading import load_base
from triptych.training.data.collator import Collator
from triptych.training.data.training_data import prepare_training_data
from triptych.training.loop.trainer import train
from triptych.triplets.examples import Examples, read_examples, write_examples
from triptych.triplets.false_negatives import PositivesByAnchor, Relations
from triptych.triplets.heuristics.candidates import Words
from triptych.triplets.mining.candidate_filter import CandidateFilter
from triptych.triplets.mining.hard_negatives import MiningVectors, mine_hard_negatives, neighbors

_NO_POSITIVES = PositivesByAnchor(np.empty(0, int), ChunkRows(np.empty(0, int)))
_ANY_SCORE = 1e9  # a margin that lets any score pass


@dataclass(frozen=True, slots=True)
class Arm:
    """What follows round 0: how negatives are mined, the number of rounds, and a multiple of the steps of each."""

    name: str
    mined: str  # none, raw, filtered, guided; within: filtered, and again within the round
    rounds: int = 1
    times: int = 1


ARMS = (
    Arm("no mining", "none"),
    Arm("filtered", "filtered"),
    Arm("raw", "raw"),
    Arm("filtered + guide", "guided"),
    Arm("no mining, two rounds", "none", rounds=2),
    Arm("filtered, two rounds", "filtered", rounds=2),
    Arm("raw, two rounds", "raw", rounds=2),
    Arm("filtered + guide, two rounds", "guided", rounds=2),
    Arm("filtered, twice the steps", "filtered", times=2),
    Arm("within the round, twice the steps", "within", times=2),
)


class ArmRuns:
    """Trains, mines and evaluates; results that are in the ``keep`` folder are read from it."""

    def __init__(self, recipe: Recipe, comparison: BaseComparison, keep: Path, steps: int) -> None:
        self._recipe, self._comparison, self._keep, self._steps = recipe, comparison, keep, steps
        corpus = recipe.folder / "data/corpus"
        self._chunks, self._links = recipe.evaluator.chunks, read_links(corpus / "links.parquet")
        self._rows = ChunkRows(np.array([row for row, one in enumerate(self._chunks) if one.split == "train"]))
        self._start = read_examples(recipe.folder / "data/triplets/round0/examples.parquet")
        self._vectors_of: dict[Path, MiningVectors] = {}

    def values(self, arm: Arm | None, seed: int) -> np.ndarray:
        """Return the metric of each dev query after an arm's last round; without an arm, after round 0."""
        folder = self._model_folder(arm, seed, 0 if arm is None else arm.rounds)
        path = folder / "values.npy"
        if not path.exists():
            np.save(path, self._comparison.values(self._blend(folder), 1.0))
        return np.load(path)

    def _model_folder(self, arm: Arm | None, seed: int, number: int) -> Path:
        folder = self._keep / str(seed) / "round0"
        if arm is not None and number:
            folder = self._keep / str(seed) / f"{arm.mined}-{arm.times}" / f"round{number}"
        if folder.exists():
            return folder
        previous = None if not number else self._model_folder(arm, seed, number - 1)
        partial = folder.with_name(folder.name + ".partial")
        partial.mkdir(parents=True, exist_ok=True)
        examples, mined = self._start, "none" if arm is None else arm.mined
        if arm is not None and previous is not None and arm.mined != "none":
            before = previous / "examples.parquet"
            examples = read_examples(before) if before.exists() else self._start
            examples, metrics = self._mine(arm.mined, examples, previous)
            write_examples(partial / "examples.parquet", examples)
            (partial / "mined.json").write_text(json.dumps(metrics, indent=1), encoding="utf-8")
        self._train(examples, previous, seed, number, 1 if arm is None else arm.times, mined, partial)
        return partial.rename(folder)

    def _train(
        self, examples: Examples, previous: Path | None, seed: int, number: int, times: int, mined: str, out: Path
    ) -> None:
        torch.manual_seed(seed)
        recipe, rounds = self._recipe, list(self._recipe.params.rounds.train.values())
        round_params = rounds[0] if not number else rounds[1].model_copy(update={"steps": self._steps * times})
        # Loss distill, which auto takes where few positives were judged, uses no negatives: there is nothing to mine.
        loss = "softmax" if recipe.params.train.loss == "auto" else recipe.params.train.loss
        changes = {"seed": seed, "loss": loss}
        if mined == "within":
            every = max(self._steps // 2, 1)
            changes |= {"mine_every": every, "resample_every": min(recipe.params.train.resample_every, every)}
        settings = recipe.params.train.model_copy(update=changes)
        params = recipe.params.model_copy(update={"train": settings})
        model = load_base(params.model)
        data, round_seed = recipe.folder / "data", seed + crc32(f"round{number}".encode())
        store, base = recipe.evaluator.store, recipe.folder / "models/base"
        inputs = data / "corpus", data / "triplets/texts", store, examples, base
        training_data = prepare_training_data(*inputs, params, round_params, round_seed)
        if mined == "raw":
            unrelated = Relations(make_unrelated(self._chunks), [])
            training_data = replace(training_data, collator=Collator(store, unrelated, _NO_POSITIVES, False))
        make_trainable(model, settings, previous)
        train(model, training_data, settings, round_params.learning_rate)
        save_trained(model, settings, out)

    def _mine(self, kind: str, examples: Examples, previous: Path) -> tuple[Examples, dict[str, Any]]:
        params, triplets = self._recipe.params.mine, self._recipe.params.triplets
        relations = Relations(self._chunks, self._links, triplets.exclude_linked)
        positives = PositivesByAnchor(examples.anchor, examples.positive_chunk)
        if kind == "raw":
            relations, positives = Relations(make_unrelated(self._chunks), []), _NO_POSITIVES
            params = params.model_copy(update={"relative_margin": _ANY_SCORE})
        guide = self._base.scores if kind == "guided" else None
        blocks = neighbors(examples, self._vectors(previous), params)
        words = None if kind == "raw" else Words(chunk.content for chunk in self._chunks)
        candidate_filter = CandidateFilter(relations, positives, params, words, guide)
        return mine_hard_negatives(examples, blocks, self._chunks, candidate_filter, triplets.negatives_per_anchor)

    def _vectors(self, folder: Path) -> MiningVectors:
        if folder not in self._vectors_of:
            self._vectors_of[folder] = self._encode(self._blend(folder))
        return self._vectors_of[folder]

    @cached_property
    def _base(self) -> MiningVectors:
        return self._encode(Blend(load_base(self._recipe.params.model), {}))

    def _encode(self, blend: Blend) -> MiningVectors:
        evaluator = self._recipe.evaluator
        model = blend.at(1.0)
        return vectors_for_mining(
            model, evaluator.store, self._start, evaluator.passage_ids, self._rows, evaluator.precision
        )

    def _blend(self, folder: Path) -> Blend:
        base = load_base(self._recipe.params.model)
        return Blend(base, difference(base, folder))


def make_unrelated(chunks: list[Chunk]) -> list[Chunk]:
    """Return copies of the chunks that have nothing in common by which `Relations` would relate them."""
    return [
        replace(one, chunk_id=str(row), cluster_id=row, header_path=(), title="", content="")
        for row, one in enumerate(chunks)
    ]


def main() -> None:
    """Train and evaluate; print a row for each arm once all its seeds are done, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=35, help="of each round after round 0")
    parser.add_argument("--arms", nargs="+", choices=[one.name for one in ARMS], default=[one.name for one in ARMS])
    parser.add_argument("--keep", type=Path, help="a folder for models and scores; default: a temporary one")
    parser.add_argument("--quick", action="store_true", help="two steps, one seed, one round")
    args = parser.parse_args()
    arms = [one for one in ARMS if one.name in args.arms]
    settings: list[str] = []
    if args.quick:
        arms = [one for one in arms if one.rounds == 1 and (one.times == 1 or one.mined == "within")]
        args.seeds, args.steps = args.seeds[:1], 2
        settings = ["rounds.train.round0.steps=2"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "recipe"
        folder.mkdir()
        recipe = prepare_recipe(args.project, folder, settings, False, ["dev"])
        comparison = BaseComparison(recipe)
        runs = ArmRuns(recipe, comparison, args.keep or Path(scratch) / "runs", args.steps)
        rows = compare_arms(runs, comparison, recipe, arms, args.seeds)
    print(json.dumps({"steps": args.steps, "seeds": args.seeds, "rows": rows}))


def compare_arms(
    runs: ArmRuns, comparison: BaseComparison, recipe: Recipe, arms: list[Arm], seeds: list[int]
) -> list[dict[str, Any]]:
    """Evaluate round 0 and the arms, each also against round 0 and the arm with as many steps and no mining."""
    document = {chunk.chunk_id: chunk.document_id for chunk in recipe.evaluator.chunks}
    clusters = np.array([document[min(recipe.evaluator.qrels[one])] for one in comparison.ids])
    of_arm: dict[str, list[np.ndarray]] = {"round 0": [runs.values(None, seed) for seed in seeds]}
    rows = [comparison.row("round 0", 1.0, of_arm["round 0"], "dev")]
    for arm in arms:
        of_arm[arm.name] = [runs.values(arm, seed) for seed in seeds]
        row = comparison.row(arm.name, 1.0, of_arm[arm.name], "dev")
        without = "no mining, two rounds" if arm.rounds * arm.times == 2 else "no mining"
        for other in ("round 0", without):
            if other in of_arm and other != arm.name:
                mean, other_mean = np.mean(of_arm[arm.name], axis=0), np.mean(of_arm[other], axis=0)
                interval = paired_bootstrap(mean, other_mean, clusters, 5000, 0.95, 13)
                row[f"against {other}"] = [interval.difference, interval.low, interval.high]
                low, high = f"{interval.low:+.4f}", f"{interval.high:+.4f}"
                print(f"    against {other}: {interval.difference:+.4f} [{low}, {high}]", flush=True)
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
