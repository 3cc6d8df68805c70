"""The rule book, and the engine that reads it. Knows nothing of advisor or trainers."""
