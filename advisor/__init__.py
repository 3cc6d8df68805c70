"""sft-advisor: decides how to fine-tune. No torch on this side."""

__version__ = "0.1.0"
