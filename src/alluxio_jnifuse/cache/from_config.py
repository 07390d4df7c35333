"""Puts the client cache that the settings describe in front of a source."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from alluxio_jnifuse.cache.evictors import Evictor, make_evictor
from alluxio_jnifuse.cache.guard import Guard
from alluxio_jnifuse.cache.local.store import LocalStore
from alluxio_jnifuse.cache.place import Place
from alluxio_jnifuse.cache.rocks.store import RocksStore
from alluxio_jnifuse.cache.source import CachedSource
from alluxio_jnifuse.cache.store import Store
from alluxio_jnifuse.config.values import page_bytes
from alluxio_jnifuse.system.threads import start_thread

if TYPE_CHECKING:
    from alluxio_jnifuse.config.values import Config
    from alluxio_jnifuse.sources.base import Source

log = logging.getLogger(__name__)

_CACHE = "alluxio.user.client.cache."


def cached(source: Source, config: Config) -> Source:
    """`source` behind its client cache, if that is on a disk. Raises MountError, ConfigError."""
    if not config.caching or config.cache_store == "MEM":
        return source
    places: list[Place] = []
    try:
        for path, size in config.cache_directories():
            places.append(_place(config, path, size))
    except BaseException:
        for place in places:
            place.store.close()
        raise
    made = CachedSource(source, config.ufs, places)
    if config.flag(f"{_CACHE}async.restore.enabled"):
        for place in places:
            start_thread("cache-restore", _restore, place)
    else:
        for place in places:
            _restore(place)
    if config.flag(f"{_CACHE}ttl.enabled"):
        start_thread("cache-ttl", _expire, config, made.closing, places)
    return made


def _place(config: Config, path: str, size: int) -> Place:
    page = page_bytes(config.number(f"{_CACHE}page.size"))
    evictor = make_evictor(config.cache_evictor)
    store = _store(config.cache_store, path, size, page, evictor)
    if config.flag(f"{_CACHE}ttl.enabled"):
        store.keep_births()
    timeout = max(0, config.number(f"{_CACHE}timeout.duration")) / 1000
    guard = Guard(path, timeout, config.number(f"{_CACHE}timeout.threads"))
    writers = None
    if config.flag(f"{_CACHE}async.write.enabled"):
        writers = Guard(path, timeout, config.number(f"{_CACHE}async.write.threads"))
    return Place(store, guard, writers)


def _store(kind: str, path: str, size: int, page: int, evictor: Evictor) -> Store:
    if kind == "ROCKS":
        return RocksStore(path, size, page, evictor)
    return LocalStore(path, size, page, evictor)


def _restore(place: Place) -> None:
    store = place.store
    try:
        store.restore()
    except OSError as error:
        log.error("client cache %s: what an earlier mount left cannot be read: %s", store, error.strerror or error)
        return
    figures = store.figures()
    if figures.pages:
        log.info("client cache %s: %d pages, %d bytes of an earlier mount", store, figures.pages, figures.used)


def _expire(config: Config, closing: threading.Event, places: list[Place]) -> None:
    age = config.number(f"{_CACHE}ttl.threshold.seconds")
    while not closing.wait(config.number(f"{_CACHE}ttl.check.interval.seconds")):
        for place in places:
            place.expire(age)
