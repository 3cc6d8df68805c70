"""A finished result made ready for those who use it."""
