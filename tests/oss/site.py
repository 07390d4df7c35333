"""What one server is made of."""

from __future__ import annotations

import itertools
import time

from oss.access import Access
from oss.contents import Contents
from oss.log import Log
from oss.rules import Rules
from oss.store import Store
from oss.uploads import Uploads


class Site:
    """All connections of a server share one."""

    def __init__(self, access: Access, contents: Contents) -> None:
        self.access = access
        self.contents = contents
        self.store = Store()
        self.uploads = Uploads()
        self.rules = Rules()
        self.log = Log()
        self._numbers = itertools.count(int(time.time()) << 20)

    def request_id(self) -> str:
        """A new x-oss-request-id."""
        return f"{next(self._numbers):024X}"
