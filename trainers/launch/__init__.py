"""Ways to start a plan: here, or on a cluster."""
