"""Pairs assembled from ids equal a tokenizer's encoding of both texts."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from triptych.tokens.pair_store import PairStore, PairTemplate
from triptych.tokens.token_store import pack

CLS, SEP, PAD = 1, 2, 0
ONE_SEP = PairTemplate((CLS,), (SEP,), (SEP,), (0, 0, 0, 1, 1), False, False, PAD)
TWO_SEPS = PairTemplate((CLS,), (SEP, SEP), (SEP,), None, False, False, PAD)


def tokenizer(pair):
    words = {"[PAD]": PAD, "[CLS]": CLS, "[SEP]": SEP, "[UNK]": 3} | {f"w{number}": number for number in range(4, 40)}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = [("[CLS]", CLS), ("[SEP]", SEP)]
    backend.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", pair=pair, special_tokens=special)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]")


TOKENIZERS = [
    (ONE_SEP, tokenizer("[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1")),
    (TWO_SEPS, tokenizer("[CLS]:0 $A:0 [SEP]:0 [SEP]:0 $B:0 [SEP]:0")),
]
words = st.lists(st.integers(4, 39), max_size=30)


@pytest.mark.parametrize(("frame", "known"), TOKENIZERS)
@given(first=words, second=words, limit=st.integers(8, 40))
@example(first=[4, 5, 6, 7], second=[8, 9, 10], limit=8)  # both too long, the first the longer, an odd room
@example(first=[4, 5, 6, 7], second=[8, 9, 10, 11], limit=8)
def test_a_pair_is_what_the_tokenizer_makes_of_it_cut_or_not(frame, known, first, second, limit):
    store = pack([[CLS, *first, SEP], [CLS, *second, SEP]], {"max_length": 99})
    ids, types = PairStore(store, 1, 1, frame, limit)[0, 1]
    texts = ([" ".join(f"w{one}" for one in part)] for part in (first, second))
    made = known(*texts, truncation="longest_first", max_length=limit, return_token_type_ids=True)
    assert ids.tolist() == made["input_ids"][0]
    assert frame.types is None or types.tolist() == made["token_type_ids"][0]
    assert len(ids) == PairStore(store, 1, 1, frame, limit).lengths(np.array([[0, 1]]))[0]


def test_texts_cut_for_the_embedder_are_enough_for_pairs_of_the_same_length():
    long, limit = list(range(4, 40)), 16
    frame, _ = TOKENIZERS[0]
    whole = pack([[CLS, *long, SEP], [CLS, *long[::-1], SEP]], {"max_length": 99})
    cut = pack([[CLS, *row[: limit - 2], SEP] for row in (long, long[::-1])], {"max_length": limit})
    assert (
        PairStore(whole, 1, 1, frame, limit)[0, 1][0].tolist() == PairStore(cut, 1, 1, frame, limit)[0, 1][0].tolist()
    )


@pytest.mark.parametrize("left", [False, True])
def test_padding_is_on_the_tokenizers_side_and_widths_are_multiples_of_eight(left):
    frame = PairTemplate((CLS,), (SEP,), (SEP,), (0, 0, 0, 1, 1), False, left, PAD)
    store = PairStore(pack([[5, 6], [7] * 9], {"max_length": 99}), 0, 0, frame, 40)
    made = store.pad(np.array([[0, 0], [0, 1]]))
    assert made["input_ids"].shape == (2, 16)
    short = [CLS, 5, 6, SEP, 5, 6, SEP]
    place = slice(16 - len(short), 16) if left else slice(0, len(short))
    assert made["input_ids"][0, place].tolist() == short
    assert made["attention_mask"].sum(axis=1).tolist() == [7, 14]
    assert made["attention_mask"][0, place].all()
    assert made["token_type_ids"][0, place].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert store.pad(np.array([[0, 0]]), fixed=True)["input_ids"].shape == (1, 40)


def test_a_chat_template_is_cut_from_the_end_of_the_text_and_keeps_what_closes_it():
    frame = PairTemplate((8, 9), (10,), (11, 12), None, True, True, PAD)
    store = PairStore(pack([[5, 6], list(range(20, 30))], {"max_length": 99}), 0, 0, frame, 12)
    assert store[0, 1][0].tolist() == [8, 9, 5, 6, 10, 20, 21, 22, 23, 24, 11, 12]
    assert store.lengths(np.array([[0, 1], [0, 0]])).tolist() == [12, 9]
