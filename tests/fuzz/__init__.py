"""Fuzzing of every parser of what strangers send, or may have changed: seeded mutations of a corpus, with limits.

    PYTHONPATH=tests .venv/bin/python -m fuzz --help

`parsers.py` says what is parsed, and how; `corpus/PARSER/` has small inputs: well-formed ones, which `seeds.py` has
made, and each that once broke something. No input may crash or hang its parser, have it take or keep much memory, or
raise anything but the exceptions that its documentation names. `make fuzz` gives every parser a minute; pytest replays
the corpus.
"""
