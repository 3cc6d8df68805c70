"""The advisor for coding agents: tools.py says what they can ask, server.py speaks the Model Context Protocol."""
