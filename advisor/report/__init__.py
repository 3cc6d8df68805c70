"""Render what was decided, for the terminal, as JSON and as HTML. Nothing is computed here."""
