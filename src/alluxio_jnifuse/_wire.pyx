# cython: language_level=3, freethreading_compatible=False, subinterpreters_compatible=no
# SPDX-License-Identifier: Apache-2.0
"""Glue between csrc/wire/ and Python: convert, call without the GIL, check, convert back. It knows no mount."""

import os

cimport cython
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport uint64_t

from . cimport _ajf_wire as c

include "_both.pxi"
include "_block_connection.pxi"
include "_checksums.pxi"
include "_http.pxi"
