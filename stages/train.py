"""Train one round and choose its strength on dev.

``python -m stages.train --tokens data/tokens
--round data/triplets/round0 --previous models/base --model models/round0 --metrics metrics/train/round0.json
--curve metrics/train/round0.csv``
"""

import shutil
from zlib import crc32

from stages.command import paths, run, say
from triptych.artifacts import write_json, write_text, writing
from triptych.corpus.records import read_chunks, read_links
from triptych.params_file import load_params
from triptych.tokens.store import open_store
from triptych.training.adapter import Blend, difference, make_trainable, save_trained
from triptych.training.base import describe, load_base
from triptych.training.judging import choose_strength, load_judging
from triptych.training.material import contrastive, distilled, resolve_loss
from triptych.training.rounds import Round, load_model, maker_of, read_round_record, write_round_record
from triptych.training.trainer import train
from triptych.triplets.examples import read_examples, read_passages, read_texts
from triptych.triplets.relations import Relations
from triptych.triplets.sampling import draw_for_run, tier_shares


def main(argv: list[str] | None = None) -> None:
    """Write the trained weights with the strength that is best on dev."""
    names = ("tokens", "round", "previous", "model", "metrics", "curve")
    args = paths(__doc__, *names, argv=argv)
    params = load_params()
    corpus, texts = args.tokens / "corpus", args.tokens / "texts"
    model = load_base(params.model)
    base = describe(params.model, model)
    store = open_store(args.tokens, base["tokenizer_sha256"])
    chunks = read_chunks(corpus / "chunks.parquet", "split")
    links = read_links(corpus / "links.parquet", "split")
    relations = Relations(chunks, links, params.triplets.exclude_linked)
    examples = read_examples(args.round / "examples.parquet", maker_of(args.round))
    settings = params.train
    turn = params.rounds.train[args.model.name]
    loss = resolve_loss(settings.loss, examples, params.triplets.views)
    number = turn.steps * settings.rows_per_step(loss) * settings.gradient_accumulation_steps
    # A seed of its own for each round, so that rounds draw different negatives.
    seed = settings.seed + crc32(args.model.name.encode())
    draw = draw_for_run(examples, params.triplets, "embedder", number, seed)

    previous = read_round_record(args.previous)
    passages = read_passages(texts)
    if loss == "distill":
        teaching = load_model(args.previous, params.model)
        material = distilled(examples, draw, store, passages, chunks, read_texts(texts)[1], teaching, params)
    else:
        material = contrastive(examples, draw, store, passages, relations, params, loss)
    make_trainable(model, settings, args.previous if previous.method != "base" else None)
    curve = train(model, material, settings, turn)
    max_length = int(store.metadata["max_length"])
    with writing(args.model) as out:
        save_trained(model, settings, out)
        fresh = load_base(params.model)
        judging = load_judging(corpus, texts, ["dev"], store, settings.precision)
        strength, dev = choose_strength(Blend(fresh, difference(fresh, out)), settings.strengths, judging)
        record = Round(settings.method, base, max_length, strength, args.model.name, dev[strength])
        kept = previous if previous.dev is not None and previous.dev >= dev[strength] else record
        if kept is previous:  # a round that is no better than the one before leaves things as they were
            shutil.rmtree(out)
            shutil.copytree(args.previous, out, copy_function=shutil.copyfile)
        write_round_record(out, kept)
    write_json(
        args.metrics,
        {
            "loss": loss,
            "triplets": len(draw.example),
            "mix": tier_shares(examples, draw),
            "strength": kept.strength,
            "trained_in": kept.trained_in,
            "dev": {"mrr@10": {f"strength {one:g}": value for one, value in dev.items()} | {"kept": kept.dev}},
            "final_loss": curve[-1].loss if curve else None,
        },
    )
    lines = [f"{point.step},{point.loss:.6f}" for point in curve]
    write_text(args.curve, "\n".join(["step,loss", *lines]) + "\n")
    choice = f"kept at strength {strength:g}" if kept is record else f"no better than {kept.trained_in}, which is kept"
    say(
        f"train {args.model.name}: {turn.steps} steps, {len(draw.example)} rows, loss {loss};"
        f" dev mrr@10 base {dev[0.0]:.3f}, this round {dev[strength]:.3f}: {choice}; {args.model}"
    )


if __name__ == "__main__":
    run(main)
