"""Machines that are not here, by the names that people use.

spelling     what was typed, in plain letters, with the count in front
table        machines that people rent or borrow (machines.toml)
pieces       one kind of GPU in a description, as devices
nearest      the cards that somebody may have meant
"""
