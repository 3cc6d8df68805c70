"""The demo behind `sft-advisor try`: a small model learns to fill in the advisor's own form."""
