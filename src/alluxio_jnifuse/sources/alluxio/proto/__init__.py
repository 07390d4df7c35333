"""Alluxio's messages, those that are used: field numbers and types as in Alluxio 2.3 to 2.9, all of which are additive.

The full name of a message does not travel, so the package is ours: nothing collides with another library's copy.
X_pb2.py and X_pb2.pyi are made from X.proto by ``setup.py build_proto``. Requests are built in requests.py only.
"""

from alluxio_jnifuse.system import later

later.put_off("google.protobuf.internal.python_message", "calendar")  # what protobuf does where it is not compiled
