"""Metadata, as the masters tell it.

master.py    the masters as one server                 primary.py   which of them answers
cache.py     what was told, as long as it holds        status.py    what is kept of a file
listing.py   what is kept of a directory               owners.py    whose a file is on this machine
"""
