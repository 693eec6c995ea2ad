"""How a cross-encoder formats pairs, derived from the model itself, and the token ids of texts for its pairs."""

import logging
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sentence_transformers import CrossEncoder

from triptych.artifacts import read_json
from triptych.errors import UserError
from triptych.models.loading import load_without_weights, tokenizer_fingerprint
from triptych.params.sections import Params
from triptych.tokens.pair_store import PairStore, PairTemplate
from triptych.tokens.token_store import TokenStore, open_store, pack, read_windows
from triptych.tokens.tokenizing import token_ids, tokenize
from triptych.tokens.windows import WindowCutter
from triptych.triplets.examples import read_framed_texts, read_texts

log = logging.getLogger(__name__)
_ROLES = ("query", "passage")
# Texts whose ends, beginnings and lengths may make a tokenizer merge a token of the frame with one of a text.
_PROBES = [
    ("sort a list", "join two tables on a key"),
    ("What is np.max()?", "(numpy) Return the maximum, along an axis."),
    ("3 ways", "1. first\n2. second\n"),
    ("word " * 40, "text. " * 90),
    ("word " * 90, "x"),
]


class PairFormat(NamedTuple):
    """The frame of a pair, and the parts of it that are tokenized with a text because they may merge with it."""

    frame: PairTemplate
    heads: dict[str, str]  # by role: what precedes the text
    tails: dict[str, str]  # by role: what follows the text

    def with_frame(self, text: str, role: str) -> str:
        """Return a text with the parts of the frame that are tokenized with it."""
        return self.heads[role] + text + self.tails[role]


def format_of(model: CrossEncoder) -> PairFormat:
    """Return how a model formats two texts: with special tokens around them, or by a chat template.

    Raise `UserError` if the chat template does not contain both texts.
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
    opening, has_first, rest = rendered.partition(first)
    middle, has_second, closing = rest.partition(second)
    if not (has_first and has_second):
        raise UserError(
            "train_reranker.base or mine.guide: its chat template does not use the roles query and document; take a"
            " reranker in the format that sentence-transformers' CrossEncoder loads"
        )
    # Byte-pair encodings merge spaces with the word after them, and line ends with punctuation before them.
    opening, head = _split_trailing(opening)
    tail, middle = _split_leading(middle)
    middle, second_head = _split_trailing(middle)
    second_tail, closing = _split_leading(closing)
    before, between, after = map(tuple, token_ids(tokenizer, [opening, middle, closing], special=False))
    frame = PairTemplate(before, between, after, None, True, left, pad)
    return PairFormat(frame, {"query": head, "passage": second_head}, {"query": tail, "passage": second_tail})


def pair_store(model: CrossEncoder, texts: Path, tokens: Path, params: Params, max_length: int) -> PairStore:
    """Return the ids of all texts for the pairs of ``model``: those of the token store, or tokenized here, once.

    The token store is used if it has the model's tokenizer, no prompts, and texts that are long enough. Raise
    `UserError` if pairs of the model cannot be built from the ids of their texts.
    """
    pair_format = format_of(model)
    room = max_length - len(pair_format.frame)
    if room < 2:
        raise UserError(
            f"train_reranker.max_length or mine.guide_max_length: {max_length} tokens, of which the model needs"
            f" {len(pair_format.frame)} for itself; raise it"
        )
    _check(model, pair_format, max_length)
    opening, closing = _special_tokens(model.tokenizer)
    plain = not any([*pair_format.heads.values(), *pair_format.tails.values()])
    fingerprint = tokenizer_fingerprint(model)
    if plain:
        stored = _stored(tokens, fingerprint)
        if (
            stored is not None
            and not any(stored.metadata["prompts"].values())
            and int(stored.metadata["max_length"]) - opening - closing >= room
        ):
            return PairStore(stored, opening, closing, pair_format.frame, max_length)
    log.info("tokenizing the texts for the reranker")
    own = _tokenized(model.tokenizer, pair_format, texts, tokens, params, max_length)
    return PairStore(own, 0, 0, pair_format.frame, max_length)


def _stored(tokens: Path, fingerprint: str) -> TokenStore | None:
    try:
        return open_store(tokens, fingerprint)
    except UserError:
        return None


def _tokenized(
    tokenizer: Any, pair_format: PairFormat, folder: Path, tokens: Path, params: Params, max_length: int
) -> TokenStore:
    roles, texts = read_texts(folder)
    windows = read_windows(tokens)
    if windows is not None and windows[-1]:  # they have the ids that they have in the embedder's token store
        further = _further_windows(folder, tokens, params)
        roles, texts = roles + ["passage"] * len(further), texts + further
    framed = [pair_format.with_frame(text, role) for role, text in zip(roles, texts, strict=True)]
    rows = tokenize(tokenizer, framed, params.tokenize, special=False).cut(max_length, closing=0)
    return replace(pack(rows, {"max_length": max_length}), windows=windows)


def _further_windows(folder: Path, tokens: Path, params: Params) -> list[str]:
    """Return the texts of the windows in the embedder's token store, in the order of their ids."""
    metadata = read_json(tokens / "metadata.json")
    tokenizer, prompt = load_without_weights(params.model).tokenizer, metadata["prompts"]["passage"]
    cutter = WindowCutter(tokenizer, prompt, metadata["max_length"], metadata["max_windows"])
    framed = [text for text in read_framed_texts(folder) if text is not None]
    return [window for of_text in cutter.further(framed) for window in of_text]


def _around(tokenizer: Any) -> tuple[list[tuple[int, ...]], tuple[int, ...] | None]:
    """Return the special tokens before, between and after two texts, and the token type of each of the five parts."""
    first, second = token_ids(tokenizer, ["list", "table"], special=False)
    pair = tokenizer("list", "table")
    ids, type_ids = pair["input_ids"], pair.get("token_type_ids")
    first_start = _index_of(ids, first, 0)
    second_start = _index_of(ids, second, first_start + len(first))
    cuts = [0, first_start, first_start + len(first), second_start, second_start + len(second), len(ids)]
    parts = [tuple(ids[left:right]) for left, right in pairwise(cuts)]
    types = None
    if type_ids is not None:
        types = tuple(type_ids[left] if left < right else 0 for left, right in pairwise(cuts))
    return [parts[0], parts[2], parts[4]], types


def _special_tokens(tokenizer: Any) -> tuple[int, int]:
    """Return how many special tokens a single text gets at its beginning and at its end."""
    (plain,), (framed,) = (token_ids(tokenizer, ["list"], special) for special in (False, True))
    start = _index_of(framed, plain, 0)
    return start, len(framed) - start - len(plain)


def _index_of(ids: list[int], part: list[int], start: int) -> int:
    return next(index for index in range(start, len(ids) + 1) if ids[index : index + len(part)] == part)


def _split_trailing(text: str) -> tuple[str, str]:
    """Return the text without the spaces at its end, and these."""
    stripped = text.rstrip(" ")
    return stripped, text[len(stripped) :]


def _split_leading(text: str) -> tuple[str, str]:
    """Return the white space at the beginning of a text, and the text without it."""
    stripped = text.lstrip()
    return text[: len(text) - len(stripped)], stripped


def _check(model: CrossEncoder, pair_format: PairFormat, max_length: int) -> None:
    """Compare pairs built here from the ids of their texts with those that the model itself makes of the texts."""
    framed = [pair_format.with_frame(text, role) for pair in _PROBES for role, text in zip(_ROLES, pair, strict=True)]
    rows = token_ids(model.tokenizer, framed, special=False)
    store = PairStore(pack(rows, {"max_length": max_length}), 0, 0, pair_format.frame, max_length)
    before, model.max_seq_length = model.max_seq_length, max_length
    features = model.preprocess(_PROBES)
    model.max_seq_length = before
    for number in range(len(_PROBES)):
        expected = features["input_ids"][number][features["attention_mask"][number].bool()].numpy()
        ids, _ = store[2 * number, 2 * number + 1]
        if not np.array_equal(ids, expected):
            raise UserError(
                "train_reranker.base or mine.guide: this model's tokenizer merges the two texts of a pair in a way that"
                f" Triptych cannot reproduce from their ids ({_PROBES[number][0][:20]!r}); take another reranker"
            )
