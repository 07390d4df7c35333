"""Calls of servers of the cluster; gRPC is used here and nowhere else.

channel.py    a connection under one identity          connection.py  how it is made
session.py    who we are to a server                   errors.py      what a failed call is
requests.py   every message that is sent               messages.py    messages in parts
streams.py    one ReadBlock call                       watchdog.py    ends calls that keep silent
flight.py     one call for several threads             calls.py       how often servers were called
"""
