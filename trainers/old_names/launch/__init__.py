"""Module names of 0.1 that job scripts and run folders mention; the whole folder goes with 0.3."""
