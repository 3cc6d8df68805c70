"""The answer in a browser: the report as one file, and the components that it shares with the page of `ui`.

Templates are Jinja with autoescape; what they print is in a Recommendation, and only places on a picture are worked
out here. Nothing that is shown carries a style or a script of its own, so that a strict content policy holds.
"""
