"""The process that serves a mount.

start.py      puts it in the background, and says how it went
serve.py      builds source, core and fetchers, serves, takes them apart
bindings.py   the C core, or llfuse: what serve.py mounts with
storage.py    the source: opened, behind its cache, and waited for
fetcher.py    the threads that ask the source for what the core wants
commands.py   names that are commands                   watcher.py    notices the unmount
logs.py       its log                                   hit_ratio.py  the line about the client cache in it
present.py    what it does now, and did in the last minutes
signals.py    signals as bytes in a pipe                systemd.py    what a service tells systemd
"""
