"""Give the verdicts on embedder and hybrid, and publish the embedder that won, which may be the base model.

``python -m stages.promote --intervals metrics/evaluate/intervals.csv --evaluation metrics/evaluate.json
--model models/round1 --verdict metrics/verdict.json --embedder models/embedder``
"""

from typing import Any

from stages.command import paths, run, say
from triptych.artifacts import read_json, write_json, writing
from triptych.evaluation.comparison import ALL, NamedInterval, read_intervals
from triptych.evaluation.verdict import Verdict, judge
from triptych.params_file import load_params
from triptych.report.card import model_card
from triptych.training.base import license_of, load_base
from triptych.training.publishing import publish
from triptych.training.rounds import load_round

_LOAD = """from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{folder}")
queries = model.encode_query(["how do I join two tables on a key"])
passages = model.encode_document(["Merge two tables on a key."])
model.similarity(queries, passages)"""


def main(argv: list[str] | None = None) -> None:
    """Write the verdicts, and a model that loads with plain sentence-transformers."""
    args = paths(__doc__, "intervals", "evaluation", "model", "verdict", "embedder", argv=argv)
    params = load_params()
    measured = [one for one in read_intervals(args.intervals) if one.measure == params.promote.measure]
    evaluation = read_json(args.evaluation, "evaluate")
    chosen = evaluation["chosen_on_dev"]

    def verdict_on(system: str) -> tuple[Verdict, dict[str, Any]]:
        found = [one for one in measured if one.system == system]
        verdict = judge(found, params.promote, params.evaluate.confidence)
        return verdict, _told(verdict, found)

    verdict, told = verdict_on("tuned")
    blend, record = load_round(args.model, params.model)
    # Strength 0 is the base model: there is nothing to promote, whatever the figures say.
    changed = record.strength > 0
    promoted = changed and verdict.decision == "promoted"
    tuned = promoted or (changed and verdict.decision == "unproven" and params.promote.unproven == "tuned")
    published = "tuned" if tuned else "base"
    _, hybrid_told = verdict_on(f"{published}_hybrid")
    fusion = chosen[f"{published}_hybrid"]
    if fusion["dense_weight"] == 1.0:
        why = "dev prefers the embedder alone"
        hybrid_told |= {"verdict": "kept", "reason": why, "reasons": [why]}
    used = hybrid_told["verdict"] == "promoted"
    base = load_base(params.model)
    card = model_card(
        "Embedder " + ("tuned by Triptych" if tuned else "left as it was by Triptych"),
        params.model,
        license_of(params.model),
        verdict.reasons,
        evaluation["measures"],
        measured,
        evaluation["corpus"],
        _LOAD.format(folder=args.embedder.as_posix()),
    )
    with writing(args.embedder) as out:
        publish(blend.model if tuned else base, base, out, params.model, card, tuned=tuned)
    write_json(
        args.verdict,
        told
        | {
            "verdict": "kept" if verdict.decision == "promoted" and not promoted else verdict.decision,
            "promoted": promoted,
            "measure": params.promote.measure,
            "strength": record.strength,
            "published": published,
            "hybrid": hybrid_told | {"used": used, "system": f"{published}_hybrid", "fusion": fusion},
        },
    )
    unproven = "unproven, " if verdict.decision == "unproven" else ""
    decision = "the tuned embedder" if tuned else "keep your base model"
    say(f"promote: {unproven}{decision}; {'; '.join(verdict.reasons)}; {args.embedder}")
    say(f"promote: {'use' if used else 'no'} hybrid search; {hybrid_told['reason']}")


def _told(verdict: Verdict, found: list[NamedInterval]) -> dict[str, Any]:
    """Return what a verdict says and the figures of all queries together."""
    (overall,) = (one for one in found if one.category == ALL)
    return {
        "verdict": verdict.decision,
        "reason": verdict.reason,
        "reasons": verdict.reasons,
        "kinds": overall.kinds,
        "difference": overall.interval.difference,
        "low": overall.interval.low,
        "high": overall.interval.high,
        "p_holm": overall.p_holm,
    }


if __name__ == "__main__":
    run(main)
