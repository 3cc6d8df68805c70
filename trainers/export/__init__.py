"""The same plan as a configuration of other training tools."""
