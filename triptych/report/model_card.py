"""The model card: what a saved model is, what decided, and how to load it."""

from typing import Any

import yaml

from triptych.evaluation.comparison import ALL, Measures, NamedInterval
from triptych.params.sections import Model
from triptych.report.systems import in_order, system_name


def model_card(
    title: str,
    task: str,
    model: Model,
    license_of_base: str | None,
    how: list[str],
    reasons: list[str],
    measures: Measures,
    intervals: list[NamedInterval],
    corpus: str,
    load: str,
) -> str:
    """Return the ``README.md`` of a saved model, with a front matter as the Hugging Face hub reads it.

    ``task`` is the hub's name for what the model does; ``how`` it was trained and is used, in sentences.
    ``intervals`` are those of the verdict's measure, of all systems; ``corpus`` is the hash of the data as ``dvc.lock``
    has it; ``load`` is Python code.
    """
    known = {"license": license_of_base} if license_of_base else {}
    front = {"library_name": "sentence-transformers", "pipeline_tag": task, "tags": ["triptych"]}
    revision = f", revision `{model.revision}`" if model.revision else ""
    return "\n".join(
        [
            "---",
            yaml.safe_dump(front | known, sort_keys=True).strip(),
            "---",
            "",
            f"# {title}",
            "",
            f"- Base model: `{model.base}`{revision}",
            f"- License of the base model: {license_of_base or 'not stated'}",
            f"- Data: `data/corpus`, `{corpus}` in `dvc.lock`",
            *(f"- {sentence}" for sentence in how),
            "",
            "```python",
            load,
            "```",
            "",
            f"## What decided, on test queries of kind {intervals[0].kinds}",
            "",
            *(f"- {reason}" for reason in reasons),
            "",
            *_table(measures, intervals),
            "",
        ]
    )


def _table(measures: Measures, intervals: list[NamedInterval]) -> list[str]:
    """Return the lines of a table of all systems by category, with their differences to base."""
    measure = intervals[0].measure
    against: dict[tuple[str, str], Any] = {(one.category, one.system): one.interval for one in intervals}
    lines = [f"| category (queries) | system | {measure} | against base |", "| --- | --- | ---: | ---: |"]
    for category in [ALL, *sorted(measures.keys() - {ALL})]:
        for system, values in in_order(measures[category]):
            one = against.get((category, system))
            difference = f"{one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}]" if one else ""
            name = category.replace("|", "\\|")
            lines.append(
                f"| {name} ({values['queries']}) | {system_name(system)} | {values[measure]:.3f} | {difference} |"
            )
    return lines
