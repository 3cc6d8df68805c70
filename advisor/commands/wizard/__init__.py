"""The wizard: questions on a terminal, page by page, and what to do with the answer."""
