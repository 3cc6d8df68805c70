"""Deciding: from answers and measurements to a recommendation."""
