"""Pictures of a dataset: found, opened within limits, and turned into tokens as the model's family does."""
