"""Mining during a round: the schedule takes the negatives that the model of that step finds hard.

What was mined is stored beside the checkpoints, from which a resumed run reads it again.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

from triptych.ids import TextIds
from triptych.params.sections import Train
from triptych.training.data.batch_schedule import DrawnSchedule
from triptych.training.data.pool_miner import PoolMiner
from triptych.training.distributed import from_main_process, wait_for_all_processes
from triptych.triplets.examples import read_examples, write_examples

LogLine = dict[str, Any]


class MiningInRound(TrainerCallback):
    """Mines every ``train.mine_every`` steps, rounded up to whole segments of the schedule."""

    def __init__(self, schedule: DrawnSchedule, miner: PoolMiner, steps: int, params: Train) -> None:
        """Choose when to mine in a run of ``steps``; the schedule waits for it."""
        self.points: list[LogLine] = []  # step, and the share of the hard negatives that were new
        self._schedule, self._miner = schedule, miner
        every = math.ceil(params.mine_every / params.resample_every) * params.resample_every
        self.steps = list(range(every, steps, every))
        schedule.mine_at([step * params.gradient_accumulation_steps for step in self.steps])

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Read what was mined before a resume."""
        self.points = [line for line in state.log_history if "mined" in line]
        for point in self.points:
            examples, negatives = _files(args, point["step"])
            self._schedule.use_pools(
                read_examples(examples), TextIds(np.load(negatives)) if negatives.exists() else None
            )

    def on_step_end(self, args: Any, state: Any, control: Any, model: SentenceTransformer, **kwargs: Any) -> None:
        """Mine if it is time."""
        if state.global_step not in self.steps:
            return
        mined = from_main_process(self._miner.mine(model, self._schedule.examples))
        if state.is_world_process_zero:
            examples, negatives = _files(args, state.global_step)
            write_examples(examples, mined.examples)
            if mined.negatives is not None:
                np.save(negatives, mined.negatives)
        wait_for_all_processes()
        self._schedule.use_pools(mined.examples, mined.negatives)
        self.points.append({"step": state.global_step, "mined": mined.churn})
        state.log_history.append(self.points[-1])


def _files(args: Any, step: int) -> tuple[Path, Path]:
    """Return where the examples that were mined after a step are stored, and the windows of their negatives."""
    folder = Path(args.output_dir)
    return folder / f"mined-{step}.parquet", folder / f"mined-{step}.npy"
