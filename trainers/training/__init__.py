"""The training process itself: torch from here on."""
