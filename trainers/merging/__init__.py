"""An adapter folded into its base, one tensor at a time."""
