"""Give the verdict and publish the winner, which may be the base model.

``python -m stages.promote --intervals metrics/evaluate/intervals.csv --model models/round1
--verdict metrics/verdict.json --embedder models/embedder``
"""

from stages.command import paths, run, say
from triptych.artifacts import write_json, writing
from triptych.evaluation.comparison import ALL, read_intervals
from triptych.evaluation.verdict import judge
from triptych.params_file import load_params
from triptych.training.base import load_base
from triptych.training.publishing import publish
from triptych.training.rounds import load_round


def main(argv: list[str] | None = None) -> None:
    """Write the verdict, and a model that loads with plain sentence-transformers."""
    args = paths(__doc__, "intervals", "model", "verdict", "embedder", argv=argv)
    params = load_params()
    measure = params.promote.measure
    named = [one for one in read_intervals(args.intervals) if (one.system, one.measure) == ("tuned", measure)]
    intervals = {one.category: one.interval for one in named}
    (kinds,) = (one.kinds for one in named if one.category == ALL)
    overall = intervals.pop(ALL)
    verdict = judge(overall, intervals, params.promote.category_tolerance, measure, kinds)
    blend, record = load_round(args.model, params.model)
    # Strength 0 is the base model: there is nothing to promote, whatever the figures say.
    promoted = verdict.decision == "promoted" and record.strength > 0
    base = load_base(params.model)
    card = _card(promoted, verdict.reasons, params.model.base, kinds)
    with writing(args.embedder) as out:
        publish(blend.model if promoted else base, base, out, params.model, card, tuned=promoted)
    write_json(
        args.verdict,
        {
            "verdict": "kept" if verdict.decision == "promoted" and not promoted else verdict.decision,
            "promoted": promoted,
            "kinds": kinds,
            "reasons": verdict.reasons,
            "difference": overall.difference,
            "low": overall.low,
            "high": overall.high,
            "measure": measure,
            "strength": record.strength,
            "published": "tuned" if promoted else "base",
        },
    )
    decision = "the tuned embedder" if promoted else "keep your base model"
    unproven = "unproven, " if verdict.decision == "unproven" else ""
    say(f"promote: {unproven}{decision}; {'; '.join(verdict.reasons)}; {args.embedder}")


def _card(promoted: bool, reasons: list[str], base: str, kinds: str) -> str:
    lines = [
        "---",
        "library_name: sentence-transformers",
        "pipeline_tag: sentence-similarity",
        "---",
        "",
        "# Embedder " + ("tuned by Triptych" if promoted else "left as it was by Triptych"),
        "",
        f"Base model: `{base}`. What decided, on test queries of kind {kinds}:",
        "",
        *(f"- {reason}" for reason in reasons),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
