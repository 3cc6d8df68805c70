"""The acceptance run: a matrix of plans on the device that is here, held against what was predicted and claimed."""
