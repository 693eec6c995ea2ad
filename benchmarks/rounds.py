"""Does re-mining help? Round 0 once per seed, then further rounds with and without mining from the same start.

``python -m benchmarks.rounds --project . [--seeds 1 2 3] [--steps 35] [--keep folder] [--quick]``

``--project`` is a folder with ``params.yaml`` and the ``data/corpus`` that ``dvc repro split`` leaves. Arms: no mining
(the heuristic pools again), raw (the model's nearest, no filter at all, in the batch neither), filtered (params.yaml),
and filtered with the base model as guide. Evaluated on dev queries at full strength, against the base model and
against as many steps without mining, by paired bootstrap over documents. Models and scores are kept in ``--keep``; an
interrupted run continues from there.
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

from benchmarks.recipes import Exam, Made, make
from triptych.corpus.records import Chunk, read_links
from triptych.encoding.mining_vectors import vectors_for_mining
from triptych.evaluation.significance import paired_bootstrap
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

_NO_ANSWERS = PositivesByAnchor(np.empty(0, int), np.empty(0, int))
_EVERYTHING = 1e9  # a margin that lets any score pass


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to go on after round 0: what mines, and in how many rounds of how many times the steps."""

    name: str
    mined: str  # none, raw, filtered, guided
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
)


class Trials:
    """Trains, mines and judges; what was done is read back from the folder that is kept."""

    def __init__(self, made: Made, exam: Exam, keep: Path, steps: int) -> None:
        self._made, self._exam, self._keep, self._steps = made, exam, keep, steps
        corpus = made.folder / "data/corpus"
        self._chunks, self._links = made.evaluator.chunks, read_links(corpus / "links.parquet")
        self._rows = np.array([row for row, chunk in enumerate(self._chunks) if chunk.split == "train"])
        self._start = read_examples(made.folder / "data/triplets/round0/examples.parquet")
        self._seen: dict[Path, MiningVectors] = {}

    def values(self, arm: Arm | None, seed: int) -> np.ndarray:
        """Return the measure of each dev query after an arm's last round; without an arm, after round 0."""
        folder = self._trained(arm, seed, 0 if arm is None else arm.rounds)
        path = folder / "values.npy"
        if not path.exists():
            np.save(path, self._exam.values(self._blend(folder), 1.0))
        return np.load(path)

    def _trained(self, arm: Arm | None, seed: int, number: int) -> Path:
        folder = self._keep / str(seed) / "round0"
        if arm is not None and number:
            folder = self._keep / str(seed) / f"{arm.mined}-{arm.times}" / f"round{number}"
        if folder.exists():
            return folder
        previous = None if not number else self._trained(arm, seed, number - 1)
        partial = folder.with_name(folder.name + ".partial")
        partial.mkdir(parents=True, exist_ok=True)
        examples, raw = self._start, arm is not None and arm.mined == "raw"
        if arm is not None and previous is not None and arm.mined != "none":
            before = previous / "examples.parquet"
            examples = read_examples(before, "mine") if before.exists() else self._start
            examples, figures = self._mined(arm.mined, examples, previous)
            write_examples(partial / "examples.parquet", examples)
            (partial / "mined.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
        self._train(examples, previous, seed, number, 1 if arm is None else arm.times, raw, partial)
        return partial.rename(folder)

    def _train(
        self, examples: Examples, previous: Path | None, seed: int, number: int, times: int, raw: bool, place: Path
    ) -> None:
        torch.manual_seed(seed)
        made, turns = self._made, list(self._made.params.rounds.train.values())
        turn = turns[0] if not number else turns[1].model_copy(update={"steps": self._steps * times})
        settings = made.params.train.model_copy(update={"seed": seed})
        params = made.params.model_copy(update={"train": settings})
        model = load_base(params.model)
        data, own = made.folder / "data", seed + crc32(f"round{number}".encode())
        inputs = data / "corpus", data / "triplets/texts", made.evaluator.store, examples, made.folder / "models/base"
        material = prepare_training_data(*inputs, params, turn, own)
        if raw:
            strangers = Relations(strange(self._chunks), [])
            material = replace(material, collator=Collator(made.evaluator.store, strangers, _NO_ANSWERS, False))
        make_trainable(model, settings, previous)
        train(model, material, settings, turn.learning_rate)
        save_trained(model, settings, place)

    def _mined(self, kind: str, examples: Examples, previous: Path) -> tuple[Examples, dict[str, Any]]:
        params, triplets = self._made.params.mine, self._made.params.triplets
        relations = Relations(self._chunks, self._links, triplets.exclude_linked)
        known = PositivesByAnchor(examples.anchor, examples.positive_chunk)
        if kind == "raw":
            relations, known = Relations(strange(self._chunks), []), _NO_ANSWERS
            params = params.model_copy(update={"relative_margin": _EVERYTHING})
        guide = self._base.scores if kind == "guided" else None
        found = neighbors(examples, self._vectors(previous), params)
        words = None if kind == "raw" else Words(chunk.content for chunk in self._chunks)
        chosen = CandidateFilter(relations, known, params, words, guide)
        return mine_hard_negatives(examples, found, self._chunks, chosen, triplets.negatives_per_anchor)

    def _vectors(self, folder: Path) -> MiningVectors:
        if folder not in self._seen:
            self._seen[folder] = self._encoded(self._blend(folder))
        return self._seen[folder]

    @cached_property
    def _base(self) -> MiningVectors:
        return self._encoded(Blend(load_base(self._made.params.model), {}))

    def _encoded(self, blend: Blend) -> MiningVectors:
        evaluator = self._made.evaluator
        model = blend.at(1.0)
        return vectors_for_mining(
            model, evaluator.store, self._start, evaluator.passage_ids, self._rows, evaluator.precision
        )

    def _blend(self, folder: Path) -> Blend:
        fresh = load_base(self._made.params.model)
        return Blend(fresh, difference(fresh, folder))


def strange(chunks: list[Chunk]) -> list[Chunk]:
    """Return chunks of which none is related to another."""
    return [
        replace(one, chunk_id=str(row), cluster_id=row, header_path=(), title="", content="")
        for row, one in enumerate(chunks)
    ]


def main() -> None:
    """Train and judge; print a row for each arm as soon as all seeds of it are there, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=35, help="of each round after round 0")
    parser.add_argument("--arms", nargs="+", choices=[one.name for one in ARMS], default=[one.name for one in ARMS])
    parser.add_argument("--keep", type=Path, help="a folder for what is trained; without it, nothing is kept")
    parser.add_argument("--quick", action="store_true", help="two steps, one seed, one round")
    args = parser.parse_args()
    arms = [one for one in ARMS if one.name in args.arms]
    settings: list[str] = []
    if args.quick:
        arms, args.seeds, args.steps = [one for one in arms if one.rounds == one.times == 1], args.seeds[:1], 2
        settings = ["rounds.train.round0.steps=2"]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "made"
        place.mkdir()
        made = make(args.project, place, settings, False, ["dev"])
        exam = Exam(made)
        trials = Trials(made, exam, args.keep or Path(scratch) / "kept", args.steps)
        rows = judged(trials, exam, made, arms, args.seeds)
    print(json.dumps({"steps": args.steps, "seeds": args.seeds, "rows": rows}))


def judged(trials: Trials, exam: Exam, made: Made, arms: list[Arm], seeds: list[int]) -> list[dict[str, Any]]:
    """Judge round 0 and the arms, each also against the arm that had as many steps and no mining."""
    document = {chunk.chunk_id: chunk.document_id for chunk in made.evaluator.chunks}
    clusters = np.array([document[min(made.evaluator.qrels[one])] for one in exam.ids])
    of_arm: dict[str, list[np.ndarray]] = {"round 0": [trials.values(None, seed) for seed in seeds]}
    rows = [exam.row("round 0", 1.0, of_arm["round 0"], "dev")]
    for arm in arms:
        of_arm[arm.name] = [trials.values(arm, seed) for seed in seeds]
        row = exam.row(arm.name, 1.0, of_arm[arm.name], "dev")
        without = "no mining, two rounds" if arm.rounds * arm.times == 2 else "no mining"
        for other in ("round 0", without):
            if other in of_arm and other != arm.name:
                mean, start = np.mean(of_arm[arm.name], axis=0), np.mean(of_arm[other], axis=0)
                found = paired_bootstrap(mean, start, clusters, 5000, 0.95, 13)
                row[f"against {other}"] = [found.difference, found.low, found.high]
                print(f"    against {other}: {found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}]", flush=True)
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
