"""Which blocks attend to a sliding window only, from layer_types or from the family's pattern."""

from __future__ import annotations

from advisor.model.config import ConfigReader

# Every n-th block attends to everything, the others to the window (transformers 5.23, configuration_*.py).
_FULL_EVERY = {
    "gemma2": 2,
    "gemma3_text": 6,
    "gemma3n_text": 5,
    "gemma4_text": 6,
    "gemma4_unified_text": 6,
    "vaultgemma": 2,
    "gpt_oss": 2,
    "cohere2": 4,
    "cohere2_moe": 4,
    "olmo3": 4,
    "exaone4": 4,
    "exaone_moe": 4,
    "afmoe": 4,
    "laguna": 4,
}
# These ignore their sliding_window unless use_sliding_window says otherwise.
_ON_REQUEST = {"qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3", "minicpm3", "seed_oss", "dots1"}


def layer_types(config: ConfigReader, layers: int) -> list[str]:
    """The stated kind of each block, or [] when the config states none (or not one for each block)."""
    stated = config.items("layer_types") or config.items("layers_block_type")
    if stated and len(stated) < layers:
        config.problem("layer_types", f"layer_types names {len(stated)} blocks of {layers}")
        stated += [""] * (layers - len(stated))
    return [str(kind) for kind in stated[:layers]]


def sliding_windows(config: ConfigReader, layers: int) -> list[int | None]:
    """The window of each block in tokens; None where it attends to the whole sequence."""
    window = config.maybe("sliding_window")
    if not window or (config.model_type in _ON_REQUEST and not config.flag("use_sliding_window")):
        return [None] * layers
    stated = layer_types(config, layers)
    if stated:
        return [window if "sliding" in kind or "chunked" in kind else None for kind in stated]
    if config.model_type in ("qwen2", "qwen2_moe", "qwen3", "qwen3_moe"):
        first = config.count("max_window_layers")
        return [window if index >= first else None for index in range(layers)]
    pattern = _FULL_EVERY.get(config.model_type)
    if pattern is None:
        return [window] * layers
    stated_pattern = config.get("sliding_window_pattern")
    if isinstance(stated_pattern, int) and not isinstance(stated_pattern, bool) and stated_pattern > 0:
        pattern = stated_pattern
    return [window if (index + 1) % pattern else None for index in range(layers)]
