"""The bytes of files.

reader.py        one open file                         cursor.py     where a call stands in a block
filling.py       bytes of a block, from its cursor     attempts.py   or from another worker
localfiles.py    blocks of a file on this machine      shortcircuit.py their block files
blockfiles.py    which files may be opened as such     locks.py      what the worker is told of it
"""
