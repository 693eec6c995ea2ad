"""What the first round starts from: the base model, or the adapter of the last publication."""

from dataclasses import replace
from pathlib import Path

from triptych.artifacts import read_json
from triptych.corpus.last_publication import LastPublication
from triptych.errors import UserError
from triptych.models.round_record import RoundRecord, read_round_record
from triptych.params.sections import Train

PREVIOUS = "previous"  # what trained the weights of the last publication, as records name it


def starting_round(last: LastPublication | None, base: RoundRecord, train: Train) -> Path | None:
    """Return the folder of the weights that were published last; None where that was the base model.

    ``base`` is the record of the base model of today. Raise `UserError` where nothing is named by ``split.previous``,
    and where base model or adapter differ from those of today.
    """
    if last is None:
        raise UserError(
            "train.start_from: previous, but split.previous is null; name the folder that `triptych keep` wrote, or set"
            " train.start_from: base"
        )
    if last.round is None:
        return None
    record = read_round_record(last.round)
    differ = [
        f"model.base {record.base.get('base')} ({key})"
        for key in sorted(record.base.keys() | base.base.keys())
        if record.base.get(key) != base.base.get(key)
    ][:1]
    then: dict[str, object] = {"method": record.method, "sides": record.sides, "load_in": record.weights.load_in}
    now: dict[str, object] = {"method": train.method, "sides": train.sides, "load_in": train.load_in}
    if record.method == train.method == "lora":
        adapter = read_json(last.round / "adapter_config.json")
        then |= {"lora.r": adapter["r"], "lora.alpha": adapter["lora_alpha"]}
        now |= {"lora.r": train.lora.r, "lora.alpha": train.lora.alpha}
    differ += [f"train.{key} {then[key]}, params.yaml has {now[key]}" for key in then if then[key] != now[key]]
    if differ:
        raise UserError(
            f"train.start_from: previous, but {last.folder} was trained with {'; '.join(differ)}: training goes on only"
            " from the same; set these params as they were, or train.start_from: base"
        )
    return last.round


def started(folder: Path, max_length: int, dev: float | None) -> RoundRecord:
    """Return the record of the last publication as a round of today, with its metric on the dev queries of today."""
    return replace(read_round_record(folder), max_length=max_length, trained_in=PREVIOUS, dev=dev)
