"""The ground that every room stands on; it knows nothing of mounts.

threads.py   threads that do not keep the process from ending
trusted.py   files and directories that nobody else can exchange
locales.py   paths and output, whatever the locale
later.py     modules that a library imports for others
"""
