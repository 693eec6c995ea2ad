"""Give the verdicts on embedder, hybrid, late interaction and reranker; publish the embedder that won, or the base.

``python -m stages.promote --intervals metrics/evaluate/intervals.csv --evaluation metrics/evaluate.json
--added metrics/evaluate/added.csv --model models/round1 --candidate models/reranker-candidate
--verdict metrics/verdict.json --embedder models/embedder --reranker models/reranker``

A reranker is published only if it adds to what there would be without it; else its folder says why there is none.
"""

import shutil
from typing import Any

from stages.command import paths, print_line, run
from triptych.artifacts import read_json, write_json, write_text, writing
from triptych.evaluation.comparison import read_intervals
from triptych.evaluation.second_stage import no_place, refused, told_of_reranker
from triptych.evaluation.verdict import Verdict, judge, told_of
from triptych.models.loading import license_of, load_base
from triptych.models.publishing import publish
from triptych.models.round_loading import load_round
from triptych.params.load import load_params
from triptych.params.sections import Model
from triptych.report.model_card import model_card
from triptych.reranker.saved_reranker import model_of, no_reranker
from triptych.retrieval.fusion import Fusion
from triptych.retrieval.reranking import Reranking

_PATHS = ("intervals", "evaluation", "added", "model", "candidate", "verdict", "embedder", "reranker")
_LOAD = """from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{folder}")  # texts are cut at {cut} tokens
queries = model.encode_query(["how do I join two tables on a key"])
passages = model.encode_document(["Merge two tables on a key."])
model.similarity(queries, passages)"""
_LOAD_RERANKER = """from sentence_transformers import CrossEncoder

model = CrossEncoder("{folder}")
model.predict([("how do I join two tables on a key", "Merge two tables on a key.")])"""


def main(argv: list[str] | None = None) -> None:
    """Write the verdicts, and a model that loads with plain sentence-transformers."""
    args = paths(__doc__, *_PATHS, argv=argv)
    params = load_params()
    measured = [one for one in read_intervals(args.intervals) if one.measure == params.promote.measure]
    added = [one for one in read_intervals(args.added) if one.measure == params.promote.measure]
    evaluation = read_json(args.evaluation)
    chosen = evaluation["chosen_on_dev"]

    def verdict_on(system: str) -> tuple[Verdict, dict[str, Any]]:
        found = [one for one in measured if one.system == system]
        verdict = judge(found, params.promote, params.evaluate.confidence)
        return verdict, told_of(verdict, found)

    def verdict_beside(system: str, without: str, *first_stage: tuple[bool, str]) -> dict[str, Any]:
        """Judge what orders hits anew against base, and against the same search without it."""
        way = {"way": chosen[system]}
        if not chosen[system]["weight"]:
            return refused("dev prefers the order as it is") | way
        beside = [one for one in added if (one.system, one.baseline) == (system, without)]
        gains = judge(beside, params.promote, params.evaluate.confidence)
        return told_of_reranker(*verdict_on(system), gains, beside, no_place(*first_stage)) | way

    verdict, told = verdict_on("tuned")
    blend, record = load_round(args.model, params.model)
    # Strength 0 is the base model: there is nothing to promote, whatever the figures print_line.
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
    of_hybrid = (used or fusion["dense_weight"] == 1.0, "the hybrid finds, which is not used")
    late = f"{published}_late"
    late_told = verdict_beside(late, f"{published}_hybrid", of_hybrid)
    late_pays = late_told["verdict"] == "promoted"
    reranker_told = refused("none was trained: train_reranker.steps is 0")
    if "reranked" in chosen:
        # It orders what late interaction has ordered; where that alone is not used, both are judged together.
        of_tuned = (published == "tuned", "the tuned embedder finds, which is not published")
        without = "tuned_late" if published == "tuned" and late_pays else "tuned_hybrid"
        reranker_told = verdict_beside("reranked", without, of_tuned, of_hybrid)
    reranks = reranker_told["verdict"] == "promoted"
    late_used = late_pays or (reranks and late_told["way"]["weight"] > 0)
    if late_used and not late_pays:
        why = "the reranker orders what it has ordered, and together they are judged better"
        late_told |= {"verdict": "promoted", "reason": why, "reasons": [why, *late_told["reasons"]]}

    def card(title: str, task: str, model: Model, how: list[str], reasons: list[str], load: str) -> str:
        measures, corpus = evaluation["measures"], evaluation["corpus"]
        return model_card(title, task, model, license_of(model), how, reasons, measures, measured, corpus, load)

    with writing(args.reranker) as out:
        if reranks:
            load = _LOAD_RERANKER.format(folder=args.reranker.as_posix())
            shutil.copytree(args.candidate, out, copy_function=shutil.copyfile, dirs_exist_ok=True)
            title, reasons = "Reranker tuned by Triptych", reranker_told["reasons"]
            how = [
                f"Trained: {params.train_reranker.steps} steps, {params.train_reranker.method},"
                f" {params.train_reranker.loss} loss; pairs cut at {params.train_reranker.max_length} tokens",
                f"Reranks {Reranking(**chosen['reranked'])} for its score, as chosen on dev"
                + ("; late interaction has ordered them before" if late_used else ""),
            ]
            write_text(out / "README.md", card(title, "text-ranking", model_of(params), how, reasons, load))
        else:
            no_reranker(out, reranker_told["reason"])
    base, load = load_base(params.model), _LOAD.format(folder=args.embedder.as_posix(), cut=blend.model.max_seq_length)
    title = "Embedder " + ("tuned by Triptych" if tuned else "left as it was by Triptych")
    how = [
        f"Trained: {record.method}, up to {record.trained_in}; texts cut at {record.max_length} tokens;"
        f" {record.strength:.0%} of the change is kept, as chosen on dev"
        if tuned
        else "Trained: not; these are the base model's weights",
        f"Search with it: {'fused with BM25, ' + str(Fusion(**fusion)) if used else 'alone'}"
        + (f"; late interaction orders {Reranking(**late_told['way'])}" if late_used else ""),
    ]
    said = card(title, "sentence-similarity", params.model, how, verdict.reasons, load)
    with writing(args.embedder) as out:
        publish(blend.model if tuned else base, base, out, params.model, said, tuned=tuned)
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
            "late_interaction": late_told | {"used": late_used, "system": late},
            "hybrid": hybrid_told | {"used": used, "system": f"{published}_hybrid", "fusion": fusion},
        },
    )
    unproven = "unproven, " if verdict.decision == "unproven" else ""
    decision = "the tuned embedder" if tuned else "keep your base model"
    print_line(f"promote: {unproven}{decision}; {'; '.join(verdict.reasons)}; {args.embedder}")
    print_line(f"promote: {'use' if used else 'no'} hybrid search; {hybrid_told['reason']}")
    print_line(f"promote: {'use' if late_used else 'no'} late interaction; {late_told['reason']}")
    print_line(f"promote: {'use the' if reranks else 'no'} reranker; {reranker_told['reason']}; {args.reranker}")


if __name__ == "__main__":
    run(main)
