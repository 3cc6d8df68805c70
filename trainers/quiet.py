"""Keep the log to what a person can act on: no library progress bars, no notices about libraries' own plans."""

from __future__ import annotations

import logging
import warnings


def libraries() -> None:
    """Silence bars, deprecation notices and advice that does not concern this process."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning)
    # bitsandbytes looks for an optional kernel package on every import.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
