"""The questions, the answers, and where each answer came from."""
