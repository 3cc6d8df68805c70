"""Which rows of the embedding belong to tokens that the user added to a model's tokenizer."""

from __future__ import annotations

from functools import lru_cache

from advisor.model.spec import ModelSpec


def new_token_ids(model: ModelSpec, count: int) -> tuple[int, ...]:
    """Ids of the last `count` tokens of a local model's tokenizer, which is where added tokens are placed.

    Empty for a hub model, whose last tokens come from its makers, and where there is no tokenizer.json.
    """
    if model.source != "folder" or not model.tokenizer_path:
        return ()
    ids = _ids(model.tokenizer_path)
    return ids[-count:] if 0 < count < len(ids) else ()


@lru_cache(maxsize=4)
def _ids(path: str) -> tuple[int, ...]:
    from tokenizers import Tokenizer

    return tuple(sorted(Tokenizer.from_file(path).get_vocab(with_added_tokens=True).values()))
