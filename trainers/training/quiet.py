"""Keep the log to what a person can act on: no library progress bars, no notices about libraries' own plans."""

from __future__ import annotations

import logging
import warnings


def libraries() -> None:
    """Silence bars, deprecation notices and advice that does not concern this process."""
    # bitsandbytes looks for an optional kernel package on every import.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning)
    # True and intended: there is no paging on a CPU, and a PiSSA adapter is turned into a plain one when it is saved.
    warnings.filterwarnings("ignore", message="Paged optimizers are not supported on CPU")
    # peft's own rank pattern for experts, which it sets for models that have none of these tensors as modules.
    warnings.filterwarnings("ignore", message="The following (rank|alpha)_pattern keys did not match")
    warnings.filterwarnings("ignore", message="PiSSA changes the base weights")
