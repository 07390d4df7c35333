"""The identity of requests.

credentials.py   keys, and keys that expire            providers.py   where they come from
signing.py       who signs, ours or oss2: sdk.py       signatures.py  ours
"""
