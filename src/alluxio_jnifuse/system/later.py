"""Modules that a library imports for users other than us.

gRPC imports asyncio at its start, and then its own part for asyncio, though nothing of either is used unless a program
does; protobuf imports an implementation in Python beside the compiled one, and a calendar. That is 70 modules, 5 MB and
a third of the time that both take to load. Such a module is put off: what is imported is a stand-in, which becomes the
module when anything of it is wanted. (importlib.util.LazyLoader loads a module as soon as a second import finds it.)
"""

from __future__ import annotations

import importlib
import sys
import threading
from importlib.machinery import ModuleSpec
from types import ModuleType

_lock = threading.Lock()  # guards that a stand-in goes, once


class _StandIn(ModuleType):
    """Looks like a module without names. Other modules may hold it for ever, so it gets the names of the real one."""

    def __getattr__(self, name: str) -> object:
        with _lock:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        real = importlib.import_module(self.__name__)
        self.__dict__.update(real.__dict__)
        return getattr(real, name)


def put_off(*names: str) -> None:
    """Has the next import of each of these modules find a stand-in, unless it is loaded already."""
    for name in names:
        if name not in sys.modules:
            made = sys.modules[name] = _StandIn(name)
            made.__spec__ = ModuleSpec(name, None)  # import statements look whether it is being loaded
