"""Train a cross-encoder on lists of an anchor's positive and negatives.

``python -m stages.train_reranker --corpus data/corpus --texts data/triplets/texts --tokens data/tokens
--round data/triplets/reranker --retriever models/round1
--reranker models/reranker-candidate --metrics metrics/train_reranker.json --curve metrics/train_reranker.csv
--checkpoints .checkpoints/reranker``

``--checkpoints`` is outside DVC: a run that was killed resumes from its last checkpoint; a finished one removes them.
"""

import argparse
from dataclasses import asdict, replace
from functools import partial

import numpy as np
from accelerate import PartialState

from triptych.artifacts import write_json, write_text, writing
from triptych.corpus.records import read_chunks, read_links
from triptych.encoding.encode_windows import closest_windows, have_windows
from triptych.encoding.frozen_passages import encode_frozen
from triptych.errors import NothingToTrainOnError, UserError
from triptych.ids import ChunkRows
from triptych.models.adapter import make_trainable
from triptych.models.loading import device, tokenizer_fingerprint
from triptych.models.precision import resolve_precision
from triptych.models.round_loading import load_merged, load_round
from triptych.models.round_record import read_round_record
from triptych.params.load import load_params
from triptych.params.sections import Params
from triptych.reranker.cross_encoder import has_fresh_head, load_reranker, probes, save_reranker
from triptych.reranker.list_batches import list_loss, list_training_data
from triptych.reranker.pair_format import pair_store
from triptych.reranker.saved_reranker import model_of, no_reranker, settings_of
from triptych.tokens.token_store import open_store
from triptych.training.data.answering_windows import answering_windows
from triptych.training.loop.trainer import train
from triptych.training.loop.training_logs import steps_csv
from triptych.training.recovery.checkpoints import clear_checkpoints, run_key
from triptych.triplets.examples import read_examples, read_passage_ids, read_texts
from triptych.triplets.false_negatives import Relations
from triptych.triplets.sampling.reranker_lists import draw_lists

from .command import paths, print_line, run


def main(argv: list[str] | None = None) -> None:
    """Write the reranker, trained or ready, or a folder with the reason why there is none."""
    names = ("corpus", "texts", "tokens", "round", "retriever", "reranker", "metrics", "curve", "checkpoints")
    args = paths(__doc__, *names, argv=argv)
    params = load_params()
    settings = params.train_reranker
    if settings.ready:
        _write_ready(args, params)
        return
    if not settings.steps:
        _write_no_reranker(args, "train_reranker.steps is 0")
        return
    train_params = settings_of(params)
    starts_tuned = settings.base is None and settings.start == "tuned"
    tuned = load_merged(args.retriever, params.model) if starts_tuned else None
    model = load_reranker(model_of(params), tuned, report=lambda line: print_line(f"train_reranker: {line}"))
    store = pair_store(model, args.texts, args.tokens, params, settings.max_length)
    chunks, passage_ids = read_chunks(args.corpus / "chunks.parquet"), read_passage_ids(args.texts)
    examples = read_examples(args.round / "examples.parquet")
    links = read_links(args.corpus / "links.parquet")
    list_count = settings.steps * train_params.batch_size * train_params.gradient_accumulation_steps
    try:
        lists = draw_lists(
            examples,
            Relations(chunks, links, params.triplets.exclude_linked),
            ChunkRows(np.array([row for row, chunk in enumerate(chunks) if chunk.split == "train"])),
            params.triplets,
            (list_count, settings.negatives, settings.random),
            settings.seed,
        )
    except NothingToTrainOnError as error:
        if PartialState().is_main_process:
            _write_no_reranker(args, str(error))
        return
    fixed = params.tokenize.padding == "fixed"
    read, closest = examples, None
    if have_windows(store.store, passage_ids):
        frozen, sides = None, read_round_record(args.retriever).sides
        precision = resolve_precision(params.train.precision, device())
        blend = None if tuned is not None and sides == "both" else load_round(args.retriever, params.model)[0]
        retriever = tuned if blend is None else blend.model
        tokens = open_store(args.tokens, tokenizer_fingerprint(retriever))
        if blend is not None and sides == "query":
            with blend.base() as base:
                frozen = encode_frozen(base, tokens, np.concatenate([passage_ids, examples.positive]), precision)
        closest = partial(
            closest_windows, retriever, tokens, precision=precision, label="windows that answer", frozen=frozen
        )
        read = replace(examples, positive=answering_windows(tokens, examples, closest))
    data = list_training_data(read, lists, passage_ids, store, settings, fixed, closest)
    make_trainable(model, train_params, None)
    used = [params.model, params.triplets, params.tokenize.padding, train_params, settings]
    key = run_key("reranker", used, [args.corpus, args.texts, args.tokens, args.round, args.retriever])
    trained = train(model, data, train_params, settings.learning_rate, args.checkpoints / key, loss=list_loss(settings))
    if not PartialState().is_main_process:
        return
    with writing(args.reranker) as out:
        pairs = probes(examples, read_texts(args.texts)[1])
        card = f"# Candidate reranker\n\nBase: `{model_of(params).base}`.\n"
        largest = save_reranker(model, store, pairs, out, card)
    write_json(
        args.metrics,
        {
            "loss": settings.loss,
            "lists": len(lists.example),
            "negatives": lists.counts,
            "final_loss": trained.curve[-1].loss if trained.curve else None,
            "deviation": trained.collapse,
            "incidents": asdict(trained.incidents),
        },
    )
    write_text(args.curve, steps_csv(trained.steps))
    clear_checkpoints(args.checkpoints)
    print_line(
        f"train_reranker: {settings.steps} steps, {len(lists.example)} lists of {1 + settings.negatives}, loss"
        f" {settings.loss}; scores of the saved model differ by at most {largest:.1g}; {args.reranker}"
    )


def _write_ready(args: argparse.Namespace, params: Params) -> None:
    """Write the reranker that ``train_reranker.base`` names as it comes; raise `UserError` if it is not one."""
    settings = params.train_reranker
    model = load_reranker(model_of(params), report=lambda line: print_line(f"train_reranker: {line}"))
    if has_fresh_head(model):
        raise UserError(
            f"train_reranker.base: {settings.base} is not a reranker: it has no trained head, so its scores mean"
            " nothing; name a trained reranker, or set train_reranker.ready: false and steps"
        )
    store = pair_store(model, args.texts, args.tokens, params, settings.max_length)
    examples = read_examples(args.round / "examples.parquet")
    with writing(args.reranker) as out:
        card = f"# Candidate reranker\n\n`{settings.base}` as it comes.\n"
        save_reranker(model, store, probes(examples, read_texts(args.texts)[1]), out, card)
    write_json(args.metrics, {"lists": 0, "ready": settings.base})
    write_text(args.curve, "step,loss\n")
    print_line(f"train_reranker: {settings.base} as it comes, not trained; {args.reranker}")


def _write_no_reranker(args: argparse.Namespace, reason: str) -> None:
    with writing(args.reranker) as out:
        no_reranker(out, reason)
    write_json(args.metrics, {"lists": 0})
    write_text(args.curve, "step,loss\n")
    print_line(f"train_reranker: not trained, {reason}; {args.reranker}")


if __name__ == "__main__":
    run(main)
