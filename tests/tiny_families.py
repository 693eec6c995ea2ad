"""A tiny random embedder or reranker of a model family, with a tokenizer trained in the test: nothing is downloaded."""

from typing import NamedTuple

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import (
    CONFIG_MAPPING,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerFast,
    Qwen2TokenizerFast,
)

WIDTH = 32
SHAPE = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": WIDTH // 2,
    "intermediate_size": 64,
    "max_position_embeddings": 80,
    "initializer_range": 0.3,  # texts must differ in more than rounding
}


class Family(NamedTuple):
    """Pooling, prompts and kind of a family's embedders."""

    pooling: str
    query_prompt: str = ""
    passage_prompt: str = ""
    decoder: bool = False


FAMILIES = {
    "bert": Family("cls", "Represent this sentence for searching relevant passages: "),
    "distilbert": Family("mean"),
    "mpnet": Family("mean"),
    "xlm-roberta": Family("mean", "query: ", "passage: "),
    "modernbert": Family("cls", "search_query: ", "search_document: "),
    "qwen3": Family("lasttoken", "Instruct: Given a question, find its answer\nQuery: ", decoder=True),
}


# As Qwen3-Reranker's.
JUDGE = """\
<|im_start|>system
Judge whether the Document meets the requirements. The answer can only be "yes" or "no".<|im_end|>
<|im_start|>user
<Instruct>: {{ messages | selectattr("role", "eq", "system") | map(attribute="content") | first | default("Find") }}
<Query>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}
<Document>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}<|im_end|>
<|im_start|>assistant
<think>

</think>

"""


def config_of(model_type, **changes):
    """Return the config of a tiny model, with the key names of its family."""
    shape = SHAPE | {"vocab_size": 64, "pad_token_id": 0} | changes
    if model_type == "distilbert":
        names = {"hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads"}
        shape = {names.get(key, key): value for key, value in shape.items()} | {"hidden_dim": 64}
    if model_type == "modernbert":
        shape |= {"local_attention": 16, **{f"{name}_token_id": 0 for name in ("bos", "eos", "cls", "sep")}}
    return CONFIG_MAPPING[model_type](**shape)


def make_embedder(folder, model_type, texts, *more):
    """Write a SentenceTransformer of a family into a new folder; ``more`` are modules after its pooling."""
    family = FAMILIES[model_type]
    tokenizer = _decoder_tokenizer(texts) if family.decoder else _encoder_tokenizer(texts)
    torch.manual_seed(7)
    config = config_of(model_type, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    AutoModel.from_config(config).eval().save_pretrained(folder / "bare")
    tokenizer.save_pretrained(folder / "bare")
    modules = [Transformer(str(folder / "bare")), Pooling(WIDTH, family.pooling), *more, Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)


def make_reranker(folder, model_type, texts):
    """Write a cross-encoder of a family into a folder: an encoder with a head, or a decoder that answers yes or no."""
    torch.manual_seed(7)
    if FAMILIES[model_type].decoder:
        tokenizer = _decoder_tokenizer([*texts, JUDGE], model_max_length=400)
        tokenizer.add_tokens(["yes", "no"])
        tokenizer.chat_template = JUDGE
        kind = AutoModelForCausalLM
    else:
        two = {"bert": "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", "xlm-roberta": "[CLS] $A [SEP] [SEP] $B [SEP]"}
        tokenizer = _encoder_tokenizer(
            texts, two.get(model_type, "[CLS] $A [SEP] $B [SEP]"), typed=model_type == "bert"
        )
        kind = AutoModelForSequenceClassification
    more = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "num_labels": 1}
    kind.from_config(config_of(model_type, max_position_embeddings=420, **more)).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _encoder_tokenizer(texts, pair="[CLS] $A [SEP] $B [SEP]", typed=False):
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    backend.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=600, special_tokens=special))
    marks = [("[CLS]", 2), ("[SEP]", 3)]
    backend.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", pair=pair, special_tokens=marks)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    names["model_input_names"] = ["input_ids", "attention_mask", *["token_type_ids"][: int(typed)]]
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=72, **names)


def _decoder_tokenizer(texts, model_max_length=72):
    """Return a tokenizer like Qwen3-Embedding's, which ends a text with its padding token."""
    end = "<|endoftext|>"
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[end, "<|im_end|>"], initial_alphabet=letters)
    backend.train_from_iterator(texts, trainer)
    backend.post_processor = TemplateProcessing(single=f"$A {end}", special_tokens=[(end, 0)])
    names = {"pad_token": end, "eos_token": "<|im_end|>", "padding_side": "left"}
    return Qwen2TokenizerFast(tokenizer_object=backend, model_max_length=model_max_length, **names)
