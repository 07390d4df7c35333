"""One request to the service: sent, answered, sent again.

client.py      signs and sends it                      patience.py    how often it is sent again
errors.py      why it was refused                      documents.py   XML, with limits
"""
