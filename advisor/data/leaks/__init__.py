"""Secrets and personal data in the examples, judged by where they stand.

    leaks = LeakFinder()
    leaks.look(lines, marked, as_series(marked))    # batches of marked texts
    leaks.finish()                                  # -> list[Leak]

A fast pattern (Rust, through polars) picks the rows that could hold something; only these are looked at closely, with
detect-secrets and python-stdnum. What is known to be an example, documentation or public by its nature is set aside
with the reason, so that what is left is worth stopping for. It is shown by its line and masked.
"""
