"""An object store that speaks the protocol of Aliyun OSS, for tests: exact, fast, and as faulty as one wants.

server.py is what tests use: a process of its own that ends with theirs. What happens there, from the wire inwards:

process.py      the listener, and the commands of the test process
connection.py   one connection: request after request
wire.py         a request as it is read, answers.py an answer as it is sent
addressing.py   which bucket and key a request means, by path or by host name
access.py       who may ask: keys, tokens, clocks; signing.py: what is signed
operations.py   which operation a request is; buckets.py, objects.py, uploads.py do them
documents.py    their XML, errors.py that of a refusal
store.py        buckets, keys in their order, objects; contents.py where bytes lie; listing.py a page of keys
rules.py        which requests meet a fault, faults.py what happens to them
log.py          what was asked, and how many bytes were sent

Keys are an index and no directory tree: `a`, `a/`, `a//b` and `a/../b` are four objects.
"""
