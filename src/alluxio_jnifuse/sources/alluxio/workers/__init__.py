"""The workers of the cluster.

known.py      who they are, and who is asked for a block
placement.py  which worker is chosen                   locality.py       how near one is
link.py       the ways to one worker                   domainsockets.py  which sockets are a worker's
"""
