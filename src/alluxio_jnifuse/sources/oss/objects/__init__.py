"""The contents of a bucket, as directories and files.

lookup.py    what there is at a path                   remembered.py  what look-ups and listings told
listing.py   a directory made of keys                  pages.py       the answers that keys come in
reader.py    bytes of one object                       checksum.py    whether they are those that were written
"""
