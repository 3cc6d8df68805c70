"""Which blocks attend to a sliding window only, from layer_types or from what the family states."""

from __future__ import annotations

from advisor.base.language import tr
from advisor.model.config import ConfigReader, Windows


def layer_types(config: ConfigReader, layers: int) -> list[str]:
    """The stated kind of each block, or [] when the config states none (or not one for each block)."""
    stated = config.items("layer_types") or config.items("layers_block_type")
    if stated and len(stated) < layers:
        config.problem(
            "layer_types",
            tr("layer_types names {num_stated} blocks of {layers}", num_stated=len(stated), layers=layers),
        )
        stated += [""] * (layers - len(stated))
    return [str(kind) for kind in stated[:layers]]


def sliding_windows(config: ConfigReader, layers: int) -> list[int | None]:
    """The window of each block in tokens; None where it attends to the whole sequence."""
    window, family = config.maybe("sliding_window"), config.windows or Windows()
    if not window or (family.on_request and not config.flag("use_sliding_window")):
        return [None] * layers
    stated = layer_types(config, layers)
    if stated:
        return [window if "sliding" in kind or "chunked" in kind else None for kind in stated]
    if family.from_block:
        first = config.count("max_window_layers")
        return [window if index >= first else None for index in range(layers)]
    pattern = family.full_every
    if pattern is None:
        return [window] * layers
    stated_pattern = config.get("sliding_window_pattern")
    if isinstance(stated_pattern, int) and not isinstance(stated_pattern, bool) and stated_pattern > 0:
        pattern = stated_pattern
    return [window if (index + 1) % pattern else None for index in range(layers)]
