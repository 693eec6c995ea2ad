"""How a cross-encoder reads pairs, learned from the model itself, and the ids of texts as its pairs need them."""

import logging
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sentence_transformers import CrossEncoder

from triptych.errors import UserError
from triptych.models.loading import tokenizer_fingerprint
from triptych.params.sections import Params, Tokenize
from triptych.tokens.pair_store import PairStore, PairTemplate
from triptych.tokens.token_store import TokenStore, open_store, pack
from triptych.tokens.tokenizing import tokenize
from triptych.triplets.examples import read_texts

log = logging.getLogger(__name__)
_ROLES = ("query", "passage")
# Ends, beginnings and lengths at which a tokenizer may join what belongs to the frame with what belongs to a text.
_PROBES = [
    ("sort a list", "join two tables on a key"),
    ("What is np.max()?", "(numpy) Return the maximum, along an axis."),
    ("3 ways", "1. first\n2. second\n"),
    ("word " * 40, "text. " * 90),
    ("word " * 90, "x"),
]


class PairFormat(NamedTuple):
    """The frame of a pair, and by role what is tokenized together with a text because it may join with it."""

    frame: PairTemplate
    heads: dict[str, str]
    tails: dict[str, str]


def format_of(model: CrossEncoder) -> PairFormat:
    """Return how a model puts two texts together: special tokens around them, or a chat template.

    Raise `UserError` where it does so in a way that this cannot repeat.
    """
    tokenizer = model.tokenizer
    left, pad = tokenizer.padding_side == "left", int(tokenizer.pad_token_id)
    bare = dict.fromkeys(_ROLES, "")
    if "message" not in model[0].modality_config:
        (before, between, after), types = _around(tokenizer)
        return PairFormat(PairTemplate(before, between, after, types, False, left, pad), bare, bare)
    first, second = "\u2460query\u2460", "\u2461document\u2461"
    formatter = model[0].input_formatter
    prompt = model.prompts.get(model.default_prompt_name, "") if model.default_prompt_name else ""
    messages = [formatter.pair_to_messages((first, second))]
    if prompt:
        messages = formatter.prepend_prompt_to_messages(messages, prompt)
    rendered = tokenizer.apply_chat_template(messages[0], tokenize=False)
    opens, found_first, rest = rendered.partition(first)
    divides, found_second, closes = rest.partition(second)
    if not (found_first and found_second):
        raise UserError(
            "train_reranker.base or mine.guide: its chat template has no place for the roles query and document; take a"
            " reranker in the form that sentence-transformers' CrossEncoder loads"
        )
    # Byte-pair encodings join spaces to the word behind them, and line ends to punctuation before them.
    opens, head = _trailing(opens)
    tail, divides = _leading(divides)
    divides, second_head = _trailing(divides)
    second_tail, closes = _leading(closes)
    before, between, after = (
        tuple(tokenizer(part, add_special_tokens=False)["input_ids"]) for part in (opens, divides, closes)
    )
    frame = PairTemplate(before, between, after, None, True, left, pad)
    return PairFormat(frame, {"query": head, "passage": second_head}, {"query": tail, "passage": second_tail})


def pair_store(model: CrossEncoder, tokens: Path, params: Params, max_length: int) -> PairStore:
    """Return the ids of all texts as the pairs of ``model`` need them: the token store's, or tokenized here, once.

    The store serves where the tokenizer is that of the embedder, texts carry no prompt, and no longer ones are wanted.
    Raise `UserError` where pairs of the model cannot be put together.
    """
    form = format_of(model)
    room = max_length - len(form.frame)
    if room < 2:
        raise UserError(
            f"train_reranker.max_length or mine.guide_max_length: {max_length} tokens, of which the model's own are"
            f" {len(form.frame)}; raise it"
        )
    _check(model, form, max_length)
    opening, closing = _special(model.tokenizer)
    plain = not any(
        [*form.heads.values(), *form.tails.values(), params.model.query_prompt, params.model.passage_prompt]
    )
    fingerprint = tokenizer_fingerprint(model)
    if plain:
        stored = _stored(tokens, fingerprint)
        if stored is not None and int(stored.metadata["max_length"]) - opening - closing >= room:
            return PairStore(stored, opening, closing, form.frame, max_length)
    log.info("texts are tokenized for the reranker")
    return PairStore(
        _tokenized(model.tokenizer, form, tokens, params.tokenize, max_length), 0, 0, form.frame, max_length
    )


def _stored(tokens: Path, fingerprint: str) -> TokenStore | None:
    try:
        return open_store(tokens, fingerprint)
    except UserError:
        return None


def _tokenized(tokenizer: Any, form: PairFormat, tokens: Path, params: Tokenize, max_length: int) -> TokenStore:
    roles, texts = read_texts(tokens / "texts")
    framed = [form.heads[role] + text + form.tails[role] for role, text in zip(roles, texts, strict=True)]
    rows = [row[:max_length] for row in tokenize(tokenizer, framed, params, special=False)]
    return pack(rows, {"max_length": max_length})


def _around(tokenizer: Any) -> tuple[list[tuple[int, ...]], tuple[int, ...] | None]:
    """Return the special tokens before, between and after two texts, and the token type of each of the five parts."""
    first, second = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("list", "table"))
    made = tokenizer("list", "table")
    ids, found = made["input_ids"], made.get("token_type_ids")
    start = _place(ids, first, 0)
    other = _place(ids, second, start + len(first))
    cuts = [0, start, start + len(first), other, other + len(second), len(ids)]
    parts = [tuple(ids[left:right]) for left, right in pairwise(cuts)]
    types = None
    if found is not None:
        types = tuple(found[left] if left < right else 0 for left, right in pairwise(cuts))
    return [parts[0], parts[2], parts[4]], types


def _special(tokenizer: Any) -> tuple[int, int]:
    """Return how many special tokens stand before and after a text that is alone."""
    plain = tokenizer("list", add_special_tokens=False)["input_ids"]
    framed = tokenizer("list")["input_ids"]
    start = _place(framed, plain, 0)
    return start, len(framed) - start - len(plain)


def _place(ids: list[int], part: list[int], start: int) -> int:
    return next(place for place in range(start, len(ids) + 1) if ids[place : place + len(part)] == part)


def _trailing(text: str) -> tuple[str, str]:
    kept = text.rstrip(" ")
    return kept, text[len(kept) :]


def _leading(text: str) -> tuple[str, str]:
    kept = text.lstrip()
    return text[: len(text) - len(kept)], kept


def _check(model: CrossEncoder, form: PairFormat, max_length: int) -> None:
    """Compare pairs put together here to those that the model itself makes of texts."""
    rows = []
    for pair in _PROBES:
        for role, text in zip(_ROLES, pair, strict=True):
            whole = form.heads[role] + text + form.tails[role]
            rows.append(model.tokenizer(whole, add_special_tokens=False, verbose=False)["input_ids"])
    made = PairStore(pack(rows, {"max_length": max_length}), 0, 0, form.frame, max_length)
    before, model.max_seq_length = model.max_seq_length, max_length
    features = model.preprocess(_PROBES)
    model.max_seq_length = before
    for number in range(len(_PROBES)):
        ids = features["input_ids"][number][features["attention_mask"][number].bool()].numpy()
        ours, _ = made[2 * number, 2 * number + 1]
        if not np.array_equal(ours, ids):
            raise UserError(
                "train_reranker.base or mine.guide: this model's tokenizer joins the two texts of a pair in a way that"
                f" Triptych cannot repeat from their ids ({_PROBES[number][0][:20]!r}); take another reranker"
            )
