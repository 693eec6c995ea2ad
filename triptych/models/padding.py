"""Give a tokenizer without a padding token one: decoders often have none."""

from typing import Any

from triptych.errors import UserError

# In order of preference. Which token it is does not matter: the attention mask hides it.
_STAND_INS = ("eos_token", "sep_token", "unk_token", "bos_token", "cls_token", "mask_token")


def ensure_padding_token(tokenizer: Any, key: str, base: str) -> bool:
    """Let a tokenizer without a padding token pad with its end token, else with another special token.

    Return whether it had none. Raise `UserError` if it has no special token at all; ``key`` is the param that names
    the model ``base``.
    """
    if tokenizer.pad_token_id is not None:
        return False
    token = next((one for name in _STAND_INS if (one := getattr(tokenizer, name, None))), None)
    if token is None:
        raise UserError(
            f"{key}: the tokenizer of {base} has neither a padding token nor another special token to pad with;"
            " set pad_token in its tokenizer_config.json"
        )
    tokenizer.pad_token = token
    return True


def padding_notice(tokenizer: Any, base: str) -> str:
    """Return the line to print for a tokenizer that `ensure_padding_token` changed."""
    return f"the tokenizer of {base} has no padding token; {tokenizer.pad_token!r} is used for it, under the mask"
