"""From files to examples: the one reader of training data, for the check before a run and for the run itself.

    sets.py, source.py, mixture.py     which files a plan or a name stands for, and which of them evaluate
    files.py, jsonfiles.py, tables.py  the rows of one file, each with its line
    reader.py, layouts.py              what a row means: one Example, or a RowError that says why not
    example.py                         Example, the form in which everything else gets its data
    ledger.py                          what became of every column, turn and key
    template.py, spans.py, proof.py    the text that the model sees, and what of it is learnt

No torch, transformers or datasets here, nor anything that imports them.
"""
