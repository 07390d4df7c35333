"""The identity of requests.

credentials.py   keys, and keys that expire            providers.py   where they come from
signing.py       signatures
"""
