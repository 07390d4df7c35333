"""The workers of the cluster.

known.py      the list of them, and the choice for a block
placement.py  which worker is chosen                   locality.py       how near one is
link.py       the ways to one worker                   domainsockets.py  which sockets are a worker's
copies.py     asking for copies
"""
