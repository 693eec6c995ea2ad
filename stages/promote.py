"""Give the verdicts on embedder, hybrid and reranker; publish the embedder that won, which may be the base model.

``python -m stages.promote --intervals metrics/evaluate/intervals.csv --evaluation metrics/evaluate.json
--added metrics/evaluate/reranker_added.csv --model models/round1 --candidate models/reranker-candidate
--verdict metrics/verdict.json --embedder models/embedder --reranker models/reranker``

A reranker is published only if it adds to what there would be without it; else its folder says why there is none.
"""

import shutil
from typing import Any

from stages.command import paths, run, say
from triptych.artifacts import read_json, write_json, write_text, writing
from triptych.evaluation.comparison import ALL, NamedInterval, read_intervals
from triptych.evaluation.verdict import Verdict, judge
from triptych.params_file import load_params
from triptych.training.base import load_base
from triptych.training.publishing import publish
from triptych.training.reranker import no_reranker
from triptych.training.rounds import load_round

_PATHS = ("intervals", "evaluation", "added", "model", "candidate", "verdict", "embedder", "reranker")


def main(argv: list[str] | None = None) -> None:
    """Write the verdicts, and a model that loads with plain sentence-transformers."""
    args = paths(__doc__, *_PATHS, argv=argv)
    params = load_params()
    measured = [one for one in read_intervals(args.intervals) if one.measure == params.promote.measure]
    chosen = read_json(args.evaluation, "evaluate")["chosen_on_dev"]

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
    added = [one for one in read_intervals(args.added) if one.measure == params.promote.measure]
    reranker_told = _no_reranker("none was trained: train_reranker.steps is 0")
    if added:
        why_not = _no_place(chosen["reranked"], published, used or fusion["dense_weight"] == 1.0)
        gains = judge(added, params.promote, params.evaluate.confidence)
        reranker_told = _reranker_told(*verdict_on("reranked"), gains, added, why_not) | {"way": chosen["reranked"]}
    reranks = reranker_told["verdict"] == "promoted"
    with writing(args.reranker) as out:
        if reranks:
            shutil.copytree(args.candidate, out, copy_function=shutil.copyfile, dirs_exist_ok=True)
            write_text(out / "README.md", _reranker_card(reranker_told["reasons"]))
        else:
            no_reranker(out, reranker_told["reason"])
    base = load_base(params.model)
    card = _card(published, verdict.reasons, params.model.base, told["kinds"])
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
            "reranker": reranker_told | {"used": reranks, "system": "reranked"},
            "hybrid": hybrid_told | {"used": used, "system": f"{published}_hybrid", "fusion": fusion},
        },
    )
    unproven = "unproven, " if verdict.decision == "unproven" else ""
    decision = "the tuned embedder" if tuned else "keep your base model"
    say(f"promote: {unproven}{decision}; {'; '.join(verdict.reasons)}; {args.embedder}")
    say(f"promote: {'use' if used else 'no'} hybrid search; {hybrid_told['reason']}")
    say(f"promote: {'use the' if reranks else 'no'} reranker; {reranker_told['reason']}; {args.reranker}")


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


def _no_place(way: dict[str, Any], published: str, hybrid_used: bool) -> str | None:
    """Return why a reranker has nothing to order anew, whatever its figures; it was tried on the tuned hybrid."""
    if not way["weight"]:
        return "dev prefers not to rerank"
    if published != "tuned":
        return "it orders what the tuned embedder finds, which is not published"
    return None if hybrid_used else "it orders what the hybrid finds, which is not used"


def _reranker_told(
    verdict: Verdict, told: dict[str, Any], gain: Verdict, added: list[NamedInterval], why_not: str | None
) -> dict[str, Any]:
    """Return the verdict on a reranker: search with it is better than base, and better than search without it."""
    (overall,) = (one.interval for one in added if one.category == ALL)
    reasons = [f"beside the same search without it, {reason}" for reason in gain.reasons] + verdict.reasons
    decision, reason = verdict.decision, verdict.reason if verdict.decision != "promoted" else reasons[0]
    if gain.decision != "promoted":
        decision, reason = gain.decision, f"beside the same search without it, {gain.reason}"
    if why_not:
        decision, reason, reasons = "kept", why_not, [why_not, *reasons]
    return told | {
        "verdict": decision,
        "reason": reason,
        "reasons": reasons,
        "added": {"difference": overall.difference, "low": overall.low, "high": overall.high},
    }


def _no_reranker(why: str) -> dict[str, Any]:
    return {"verdict": "kept", "reason": why, "reasons": [why]}


def _reranker_card(reasons: list[str]) -> str:
    lines = ["---", "library_name: sentence-transformers", "pipeline_tag: text-ranking", "---", ""]
    lines += ["# Reranker tuned by Triptych", "", "What decided, on test queries:", ""]
    return "\n".join([*lines, *(f"- {reason}" for reason in reasons)]) + "\n"


def _card(published: str, reasons: list[str], base: str, kinds: str) -> str:
    lines = [
        "---",
        "library_name: sentence-transformers",
        "pipeline_tag: sentence-similarity",
        "---",
        "",
        "# Embedder " + ("tuned by Triptych" if published == "tuned" else "left as it was by Triptych"),
        "",
        f"Base model: `{base}`. What decided, on test queries of kind {kinds}:",
        "",
        *(f"- {reason}" for reason in reasons),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
