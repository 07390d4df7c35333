"""A mount over HTTP: its counters for Prometheus and for readers of Alluxio's JSON, its health, and its live page.

Imported only by a mount that has alluxio.fuse.web.enabled. docs/METRICS.md says what is told, docs/SECURITY.md to whom.

requests.py    the request of a client, and its checks      prometheus.py  the counters as text for Prometheus
server.py      one thread for all clients                   dropwizard.py  the counters as Alluxio's JSON
pages.py       the page at each path                        alluxio.py     figures under Alluxio's names
health.py      whether the mount answers                    live.py        what the live page tells, live.html
"""
