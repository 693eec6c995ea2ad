"""The prompts before queries and passages: those of the params, else those that come with the base model."""

from collections.abc import Iterator, Mapping

from triptych.params.sections import Model

# The names under which sentence-transformers looks up a model's prompt, by role; the first non-empty one is used.
_NAMES = {"query": ("query",), "document": ("document", "passage", "corpus")}
_PARAMS = {"query": "query_prompt", "document": "passage_prompt"}


def prompts_of(params: Model, own: Mapping[str, str | None]) -> dict[str, str]:
    """Return the prompt of each role, ``query`` and ``document``; ``own`` are the model's prompts by name.

    >>> prompts_of(Model(base="m", passage_prompt=""), {"query": "query: ", "passage": "passage: "})
    {'query': 'query: ', 'document': ''}
    """
    return {
        role: _own(role, own) if (given := getattr(params, name)) is None else given for role, name in _PARAMS.items()
    }


def prompt_notices(params: Model, own: Mapping[str, str | None]) -> Iterator[str]:
    """Yield a line about each thing that the params leave to the model or take from it."""
    unset = [role for role, name in _PARAMS.items() if getattr(params, name) is None]
    taken = {role: prompt for role in unset if (prompt := _own(role, own))}
    if taken:
        texts = ", ".join(f"{_PARAMS[role].removesuffix('_prompt')} {prompt!r}" for role, prompt in taken.items())
        names = " and ".join(f"model.{_PARAMS[role]}" for role in taken)
        yield f'the prompts of {params.base} are used: {texts}; set {names} to change them, "" for none'
    for role, name in _PARAMS.items():
        if getattr(params, name) == "" and (prompt := _own(role, own)):
            yield f'model.{name} is "", so the prompt of {params.base} is not used: {prompt!r}; null uses it'
    others = sorted(name for name, prompt in own.items() if prompt and name not in sum(_NAMES.values(), ()))
    if unset and not taken and others:
        yield (
            f"{params.base} has prompts only under other names ({', '.join(others)}) and none of them is used;"
            " set model.query_prompt and model.passage_prompt to those for retrieval"
        )


def _own(role: str, own: Mapping[str, str | None]) -> str:
    return next((prompt for name in _NAMES[role] if (prompt := own.get(name))), "")
