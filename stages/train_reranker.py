"""Train a cross-encoder on lists of an anchor's positive and negatives.

``python -m stages.train_reranker --corpus data/corpus --texts data/triplets/texts --tokens data/tokens
--round data/triplets/reranker --retriever models/round1
--reranker models/reranker-candidate --metrics metrics/train_reranker.json --curve metrics/train_reranker.csv
--checkpoints .checkpoints/reranker``

``--checkpoints`` are no out: a run that was killed goes on from what lies there, and removes it when it is done.
"""

from dataclasses import asdict

import numpy as np
from accelerate import PartialState

from stages.command import paths, print_line, run
from triptych.artifacts import write_json, write_text, writing
from triptych.corpus.records import read_chunks, read_links
from triptych.models.adapter import make_trainable
from triptych.models.round_loading import load_model
from triptych.params.load import load_params
from triptych.reranker.cross_encoder import load_reranker, probes, save_reranker
from triptych.reranker.list_batches import list_loss, list_training_data
from triptych.reranker.pair_format import pair_store
from triptych.reranker.saved_reranker import model_of, no_reranker, settings_of
from triptych.training.loop.trainer import train
from triptych.training.loop.training_logs import steps_csv
from triptych.training.recovery.checkpoints import clear_checkpoints, run_key
from triptych.triplets.examples import read_examples, read_passages, read_texts
from triptych.triplets.false_negatives import Relations
from triptych.triplets.sampling.reranker_lists import draw_lists


def main(argv: list[str] | None = None) -> None:
    """Write the trained reranker, or with ``train_reranker.steps: 0`` a folder that says there is none."""
    names = ("corpus", "texts", "tokens", "round", "retriever", "reranker", "metrics", "curve", "checkpoints")
    args = paths(__doc__, *names, argv=argv)
    params = load_params()
    wanted = params.train_reranker
    if not wanted.steps:
        with writing(args.reranker) as out:
            no_reranker(out, "train_reranker.steps is 0")
        write_json(args.metrics, {"lists": 0})
        write_text(args.curve, "step,loss\n")
        print_line(f"train_reranker: not trained, train_reranker.steps is 0; {args.reranker}")
        return
    settings = settings_of(params)
    tuned = load_model(args.retriever, params.model) if wanted.base is None and wanted.start == "tuned" else None
    model = load_reranker(model_of(params), tuned)
    store = pair_store(model, args.texts, args.tokens, params, wanted.max_length)
    chunks, passages = read_chunks(args.corpus / "chunks.parquet"), np.array(read_passages(args.texts))
    examples = read_examples(args.round / "examples.parquet")
    links = read_links(args.corpus / "links.parquet")
    lists = draw_lists(
        examples,
        Relations(chunks, links, params.triplets.exclude_linked),
        np.array([row for row, chunk in enumerate(chunks) if chunk.split == "train"]),
        params.triplets,
        (wanted.steps * settings.batch_size * settings.gradient_accumulation_steps, wanted.negatives, wanted.random),
        wanted.seed,
    )
    material = list_training_data(examples, lists, passages, store, wanted, params.tokenize.padding == "fixed")
    make_trainable(model, settings, None)
    read = [params.model, params.triplets, params.tokenize.padding, settings, wanted]
    key = run_key("reranker", read, [args.corpus, args.texts, args.tokens, args.round, args.retriever])
    trained = train(model, material, settings, wanted.learning_rate, args.checkpoints / key, loss=list_loss(wanted))
    if not PartialState().is_main_process:
        return
    with writing(args.reranker) as out:
        tried = probes(examples, read_texts(args.texts)[1])
        largest = save_reranker(model, store, tried, out, f"# Reranker on trial\n\nBase: `{model_of(params).base}`.\n")
    write_json(
        args.metrics,
        {
            "loss": wanted.loss,
            "lists": len(lists.example),
            "negatives": lists.drawn,
            "final_loss": trained.curve[-1].loss if trained.curve else None,
            "deviation": trained.collapse,
            "incidents": asdict(trained.incidents),
        },
    )
    write_text(args.curve, steps_csv(trained.steps))
    clear_checkpoints(args.checkpoints)
    print_line(
        f"train_reranker: {wanted.steps} steps, {len(lists.example)} lists of {1 + wanted.negatives}, loss"
        f" {wanted.loss}; scores of the saved model differ by {largest:.1g} at most; {args.reranker}"
    )


if __name__ == "__main__":
    run(main)
