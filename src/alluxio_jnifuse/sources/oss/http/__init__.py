"""HTTP/1.1.

connection.py   one connection                         pool.py       all of them
route.py        the way to the endpoint
"""
