"""Keeps gRPC from writing to stderr what servers that are stopped on purpose make it notice."""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
