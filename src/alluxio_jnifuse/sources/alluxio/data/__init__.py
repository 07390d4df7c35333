"""The bytes of files.

reader.py        one open file                         cursor.py     where a call stands in a block
filling.py       bytes of a block, from its cursor     attempts.py   or from another worker
shortcircuit.py  block files of this machine           blockfiles.py which files may be opened as such
"""
