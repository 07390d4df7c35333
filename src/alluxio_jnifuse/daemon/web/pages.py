"""The pages of a mount's endpoint, and its beginning."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from alluxio_jnifuse import __version__
from alluxio_jnifuse._core import counter_rows
from alluxio_jnifuse.daemon.logs import LOGGER
from alluxio_jnifuse.daemon.web import dropwizard, prometheus
from alluxio_jnifuse.daemon.web.alluxio import Figures, figures
from alluxio_jnifuse.daemon.web.health import Health
from alluxio_jnifuse.daemon.web.live import Live
from alluxio_jnifuse.daemon.web.server import Page, Server
from alluxio_jnifuse.mounts import stats as mount_stats
from alluxio_jnifuse.mounts.times import times_of

if TYPE_CHECKING:
    from alluxio_jnifuse.config.values import Config
    from alluxio_jnifuse.daemon.bindings import Binding, Workers
    from alluxio_jnifuse.sources.base import Source

_TOLD_EVERY_S = 6 * 3600.0  # the log does not keep its lines for ever
_HTML = "text/html; charset=utf-8"
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"


def start(config: Config, mountpoint: str, core: Binding, workers: Workers, source: Source) -> Server | None:
    """The endpoint of a running mount. None: the address cannot be had, which the log says; the mount goes on."""
    host = config.text("alluxio.fuse.web.bind.host")
    port = config.number("alluxio.fuse.web.port")
    live = Live(config, mountpoint, core, workers, source)
    pages = _Pages(core, source, mountpoint, config.cache_bytes, live)
    names = {name.strip().lower() for name in (host, *config.text("alluxio.fuse.web.hostname").split(","))} - {""}
    paths = {"/metrics/prometheus": pages.prometheus, "/metrics/json": pages.json, "/healthz": pages.health}
    shown_to_few = {"/": lambda: Page(live.html(), _HTML), "/live.json": lambda: Page(live.json(), _JSON)}
    try:
        server = Server(host, port, {**paths, **shown_to_few}, names, pages.tick, private=shown_to_few)
    except OSError as error:
        LOGGER.warning(
            "no metrics over HTTP: alluxio.fuse.web.bind.host=%s, alluxio.fuse.web.port=%d: %s; each mount of a "
            "machine needs a port of its own (0: any that is free)", host, port, error.strerror or error,
        )  # fmt: skip
        return None
    server.start()
    shown = f"[{server.address[0]}]" if ":" in server.address[0] else server.address[0]
    LOGGER.info("metrics at http://%s:%d/metrics/prometheus", shown, server.address[1])
    pages.tell(f"http://{shown}:{server.address[1]}/?token={server.token}")
    return server


class _Pages:
    """Makes each page anew. The server's thread."""

    def __init__(self, core: Binding, source: Source, mountpoint: str, cache_bytes: int, live: Live) -> None:
        self._core = core
        self._live = live
        self._address, self._told = "", 0.0
        self._source = source
        self._cache_bytes = cache_bytes
        self._health = Health(core, mountpoint, core.device())
        self._since = time.monotonic()
        shown = mountpoint.encode("utf-8", "replace").decode()
        self._info = {"version": __version__, "mount_point": shown}
        self._helps = dict(counter_rows())

    def tell(self, address: str) -> None:
        """Writes into the log where the live page is."""
        self._address, self._told = address, time.monotonic()
        LOGGER.info("live page at %s", address)

    def tick(self) -> None:
        self._health.look()
        if self._address and time.monotonic() >= self._told + _TOLD_EVERY_S:
            self.tell(self._address)
        self._live.tick()

    def prometheus(self) -> Page:
        stats, named = self._figures()
        helps = {**self._helps, **_helps_of_sources(stats)}
        times, servers = times_of(self._core), self._source.servers()
        return Page(prometheus.render(self._info, stats, helps, times, servers, named), prometheus.TYPE)

    def json(self) -> Page:
        stats, named = self._figures()
        helps = {**self._helps, **_helps_of_sources(stats)}
        gauges = frozenset(name for name, meaning in helps.items() if meaning.endswith("(gauge)"))
        up_s = max(1e-3, time.monotonic() - self._since)
        return Page(dropwizard.render(named, stats, gauges, up_s), _JSON)

    def health(self) -> Page:
        problem = self._health.problem()
        return Page(f"{problem or 'ok'}\n".encode(), _TEXT, 503 if problem else 200)

    def _figures(self) -> tuple[dict[str, int], Figures]:
        stats = mount_stats.counters(self._core, self._source)
        return stats, figures(stats, times_of(self._core), self._cache_bytes)


def _helps_of_sources(stats: Mapping[str, int]) -> dict[str, str]:
    """The words of docs/METRICS.md for counters of sources; modules of a source are loaded if it is in use."""
    helps: dict[str, str] = {}
    if "cache_pages" in stats:
        from alluxio_jnifuse.cache.source import COUNTERS

        helps.update(COUNTERS)
    if "oss_get" in stats:
        from alluxio_jnifuse.sources.oss.counters import COUNTERS as OSS

        helps.update({f"oss_{name}": meaning for name, meaning in OSS.items()})
    if "rpc_ReadBlock" in stats:
        from alluxio_jnifuse.sources.alluxio.rpc.calls import CALLS, OUTCOMES

        helps.update({f"rpc_{name}": meaning for name, meaning in CALLS.items()})
        helps.update({f"cluster_{name}": meaning for name, meaning in OUTCOMES.items()})
    return helps
