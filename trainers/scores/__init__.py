"""How good answers are, without a model as the judge: measures, the choice among them, and intervals. No torch here.

    chosen = choose(references)                          # picked from the data, with the reason
    comparison = compare(chosen.measure, references, base_answers, tuned_answers)
    comparison.gain.low, comparison.gain.high            # 95 %, row by row

A measure gives each answer a number from 0 (wrong) to 1 (right); measures.py has them by name.
"""
