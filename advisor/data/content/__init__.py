"""What stands in the examples: one small module for each kind of fault, and a registry that holds them all.

    content = ContentCheck()
    content.add(line, example, marked(example))    # for every row
    content.findings()               # -> list[Finding]

A pattern in Rust (through polars) picks the rows that could show a fault; only these are looked at closely, so a
clean million of rows costs a few seconds. Every row is looked at; only near duplicates are sought among a sample when
the rows are many, which the finding says.
"""
