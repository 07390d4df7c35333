"""The LOCAL store: files, and sums beside them.

store.py   the layout, and the files that are held     file.py    one file
sums.py    the file of sums                            trust.py   what is known to agree with its sums
"""
