"""Starting a plan, watching it, and going on after a failure."""
