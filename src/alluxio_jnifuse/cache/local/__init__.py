"""The LOCAL store: files, and sums beside them.

store.py    the files that are held, and the budget    file.py    one file: what of it is stored
layout.py   where a file lies, and what it takes       sums.py    the file of sums
trust.py    what is known to agree with its sums
"""
