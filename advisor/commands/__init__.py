"""The commands, one file each: `add_arguments(parser)` and `run(arguments) -> exit code`.

With cli.py they are the only code that prints. Libraries are imported inside the functions that need them.
"""
