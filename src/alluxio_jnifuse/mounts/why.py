"""Why a reader waits: what the requests of a mount wait for, from snapshots of it that are taken one after the other.

A request of the kernel waits for a fetch: of the bytes, the attributes or the listing that it asks for. The fetch waits
for its turn, for room in memory, or it is at the storage, where a thread does it: it asks a server, or waits before it
asks again. In each snapshot every request that waits is put down to one of these causes. The shares of the last minutes
come from counters (docs/METRICS.md): of what requests waited, how much they were parked, and how much of that fetches
spent in the queue, at the storage, and between attempts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from alluxio_jnifuse.mounts.readers import Reader, name_of, process_of
from alluxio_jnifuse.mounts.stats import Snapshot

# The kinds of fetches that answer a request; of a Lookup the fetch is of a path in the directory.
_ANSWERED_BY = {
    "Read": ("read", "open"),
    "Open": ("open", "read", "stat"),
    "Lookup": ("stat", "list"),
    "Getattr": ("stat",),
    "Readlink": ("readlink",),
    "Opendir": ("list",),
    "Readdir": ("list",),
    "Readdirplus": ("list",),
    "Statfs": ("statfs",),
    "Refresh": ("forget", "stat", "list"),
}
_NAMES = ("lookup", "getattr", "readlink", "opendir", "readdir", "readdirplus")  # operations on names and attributes
_WAITED_FOR = ("stat", "list", "readlink", "statfs", "open", "read")  # kinds of fetches that requests wait for
_STORAGE = "the storage"
_DIRECTORY = "the file system of the directory"
_MASTERS = "the masters "  # how a source of a cluster says that it looks for the one that serves
_CACHE = "the client cache in "  # how cache/guard.py names a disk
_SLOW_DISK = "the disk is slow: move alluxio.user.client.cache.dirs, or keep the cache in memory"
_DOCTOR = "alluxio-jnifuse doctor MOUNT_POINT looks for what is wrong there"

TURN, MEMORY, SERVER, PAUSE, ANSWER = "turn", "memory", "server", "pause", "answer"


class Cause(NamedTuple):
    """The thing that a request waits for. `kind`: one of the constants above; `server`: of SERVER and PAUSE.

    `step`: the fetch, as daemon/present.py tells of it; None: there is none, and the answer is on its way.
    """

    kind: str
    server: str
    step: Mapping[str, Any] | None

    @property
    def fails(self) -> bool:
        """Whether attempts have failed."""
        return self.kind in (SERVER, PAUSE) and bool(self.step and self.step["error"])


class Request(NamedTuple):
    """A request that waits. `pid` 0: the kernel asks by itself, or a process that cannot be seen from here."""

    pid: int
    process: str
    operation: str
    path: str
    offset: int
    size: int
    for_s: float
    cause: Cause


class Shares(NamedTuple):
    """The waiting of readers in an interval of `seconds`, divided; the shares add up to 1.

    `waited_s`: of all requests together; `names`: the share that is not of open and read, but of names and attributes.
    """

    seconds: float
    waited_s: float
    daemon: float  # copying, replying, what is here already
    queue: float
    storage: float
    pauses: float  # between attempts
    names: float


class Finding(NamedTuple):
    """Something that stands out; `remedy`: the thing to do about it ("" where there is none)."""

    what: str
    remedy: str = ""


def requests_of(snapshot: Snapshot) -> list[Request]:
    """The requests that wait, the oldest first."""
    found = []
    for told in snapshot.now.get("waiting", ()):
        pid = process_of(told["thread"]) if told["thread"] else 0
        found.append(
            Request(
                pid,
                name_of(pid) if pid else "",
                told["operation"],
                told["path"],
                told["offset"],
                told["size"],
                told["for_seconds"],
                _cause(told, snapshot),
            )
        )
    return found


def _cause(request: Mapping[str, Any], snapshot: Snapshot) -> Cause:
    now, stats = snapshot.now, snapshot.stats
    for step in now["fetching"]:
        if _answers(step, request):
            kind, server = (PAUSE, step["failed_at"]) if step["pausing"] else (SERVER, step["server"])
            return Cause(kind, server or _STORAGE, step)
    for fetch in now["untaken"]:
        if _answers(fetch, request):
            return Cause(MEMORY if fetch["needs_memory"] else TURN, "", fetch)
    # A directory of this machine is asked by the thread that took the request, without a fetcher.
    if stats.get("fetch_direct", 0) and stats["threads"] > stats["threads_idle"]:
        return Cause(SERVER, _DIRECTORY, None)
    return Cause(ANSWER, "", None)


def _answers(fetch: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    kinds = _ANSWERED_BY.get(request["operation"], ())
    if fetch["kind"] not in kinds:
        return False
    path = fetch["path"]
    if request["operation"] == "Lookup" and fetch["kind"] == "stat":
        path = path.rpartition("/")[0] or "/"
    if path != request["path"] and request["operation"] != "Statfs":
        return False
    if request["operation"] == "Read" and fetch["kind"] == "read":
        begin, end = fetch["offset"], fetch["offset"] + fetch["size"]
        return bool(request["offset"] < end and begin < request["offset"] + request["size"])
    return True


def in_words(cause: Cause) -> str:
    """The end of a sentence that begins with "waits for"."""
    step = cause.step
    if step is None:
        return cause.server or "its answer, which is on the way"
    since = f"for {duration(step['for_seconds'])}"
    if cause.kind == TURN:
        return f"a free fetcher, {since}"
    if cause.kind == MEMORY:
        return f"room in memory, {since}"
    words = f"{cause.server}, {since}"
    if step["attempt"] > 1:
        words += f", attempt {step['attempt']}; the last one: {step['error']}"
    return f"{words}; tried again soon" if cause.kind == PAUSE else words


def duration(seconds: float) -> str:
    """Seconds for a person."""
    if seconds >= 120:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.3g} s" if seconds >= 0.9995 else f"{seconds * 1000:.3g} ms"


def shares_of(snapshot: Snapshot) -> Shares | None:
    """Of the last minutes; None when nothing waited, or the mount does not tell."""
    recent = snapshot.recent
    if not recent:
        return None
    waits = {name: _since(snapshot, name) for name in snapshot.times}
    operations = {name: waits[name] for name in waits if name.startswith("op_") and name != "op_release"}
    waited_s = sum(operations.values())
    if waited_s <= 0:
        return None
    parked_s = min(waited_s, _count(snapshot, "requests_parked_us") / 1e6)
    queue_s = sum(waits.get(f"queue_{kind}", 0.0) for kind in _WAITED_FOR)
    storage_s = sum(waits.get(f"source_{kind}", 0.0) for kind in (*_WAITED_FOR, "prefetch", "ahead"))
    paused_s = min(storage_s, (_count(snapshot, "oss_paused_ms") + _count(snapshot, "cluster_paused_ms")) / 1e3)
    both_s = queue_s + storage_s
    parked = parked_s / waited_s
    queue = parked * queue_s / both_s if both_s > 0 else 0.0
    pauses = parked * paused_s / both_s if both_s > 0 else 0.0
    names_s = sum(operations.get(f"op_{name}", 0.0) for name in _NAMES)
    return Shares(recent["seconds"], waited_s, 1 - parked, queue, parked - queue - pauses, pauses, names_s / waited_s)


def _since(snapshot: Snapshot, name: str) -> float:
    """Seconds of a histogram since the counters were noted."""
    before = float(snapshot.recent["times"].get(name, {}).get("sum_seconds", 0.0))
    return max(0.0, float(snapshot.times[name]["sum_seconds"]) - before)


def _count(snapshot: Snapshot, name: str) -> int:
    return snapshot.stats.get(name, 0) - int(snapshot.recent.get("stats", {}).get(name, 0))


# -------------------------------------------------------------------------------------------------------- what it means


def findings(
    looks: Sequence[Sequence[Request]],
    snapshots: Sequence[Snapshot],
    shares: Shares | None,
    readers: Sequence[Reader],
) -> list[Finding]:
    """Returns what stands out, the most important first. `looks`: the requests that waited at each of the snapshots."""
    causes = Counter((each.cause.kind, each.cause.server, each.cause.fails) for look in looks for each in look)
    found = [
        *_failures(snapshots),
        *_throttled(snapshots),
        *_crowded(snapshots),
        *_slow(causes, looks, shares),
        *_busy_readers(readers),
    ]
    if not found and not causes:
        found.append(Finding("nothing waits for the mount"))
    return found


def _steps(snapshots: Sequence[Snapshot]) -> Iterator[Mapping[str, Any]]:
    """The fetches at the storage, each as often as it was seen."""
    for snapshot in snapshots:
        yield from snapshot.now.get("fetching", ())


def _failures(snapshots: Sequence[Snapshot]) -> Iterator[Finding]:
    """Attempts that failed, and are made again."""
    attempts: dict[tuple[str, str], int] = {}
    searched = ""
    for step in _steps(snapshots):
        if step["error"] and not step["throttled"]:
            key = step["failed_at"] or _STORAGE, step["error"]
            attempts[key] = max(attempts.get(key, 0), step["attempt"])
        if step["server"].startswith(_MASTERS):
            searched = step["server"]
    for (server, error), attempt in sorted(attempts.items(), key=lambda item: -item[1]):
        yield Finding(f"{server} fails, and is asked again (attempt {attempt}): {error}", _DOCTOR)
    if searched:
        yield Finding(f"names, attributes and opens wait for {searched}", f"start one of them; {_DOCTOR}")


def _throttled(snapshots: Sequence[Snapshot]) -> Iterator[Finding]:
    number = _count(snapshots[-1], "oss_throttled") if snapshots[-1].recent else 0
    if number or any(step["throttled"] for step in _steps(snapshots)):
        yield Finding(
            f"the bucket is asked for more than it permits: it refused {number or 'some'} requests, which are sent "
            "again later",
            "ask for a higher limit, let less be read at once (-o fetchers=N), or use a client cache",
        )


def _crowded(snapshots: Sequence[Snapshot]) -> Iterator[Finding]:
    """Fetches that wait for others to end, when most of them did."""
    memory: list[Any] = []
    waiting: list[Any] = []
    data: list[Any] = []
    for snapshot in snapshots:
        untaken = [each for each in snapshot.now.get("untaken", ()) if each["lane"] in ("metadata", "demand")]
        starved = [each for each in untaken if each["needs_memory"]]
        if len(starved) > len(memory):
            memory = starved
        if len(untaken) - len(starved) > len(waiting):
            waiting = [each for each in untaken if not each["needs_memory"]]
            data = [step for step in snapshot.now["fetching"] if step["kind"] == "read"]
    if memory:
        yield Finding(
            f"{_number(len(memory), 'fetch waits', 'fetches wait')} for room in memory",
            "raise transient_window, or alluxio.user.client.cache.size where the client cache is on",
        )
    if waiting:
        what = f"{_number(len(waiting), 'fetch waits', 'fetches wait')} for a free fetcher"
        remedy = "if the storage can take more at once, raise fetchers (-o fetchers=N)"
        path, at_path = _most([step["path"] for step in data])
        server, at_server = _most([step["server"] for step in data])
        if server.startswith(_CACHE) and 2 * at_server >= len(data):
            what += f": {at_server} of {len(data)} are at {server}"
            remedy = _SLOW_DISK
        elif at_path > 1 and 2 * at_path >= len(data):
            what += f": {at_path} of {len(data)} are for {path}"
        yield Finding(what, remedy)


def _slow(
    causes: Mapping[tuple[str, str, bool], int], looks: Sequence[Sequence[Request]], shares: Shares | None
) -> Iterator[Finding]:
    """The server that requests wait for most, when nothing fails."""
    total = sum(causes.values())
    if not total:
        return
    (kind, server, fails), number = max(causes.items(), key=lambda item: item[1])
    of_names = sum(each.operation.lower() in _NAMES for look in looks for each in look)
    if 2 * of_names > total:
        yield Finding(
            f"{of_names / total:.0%} of the waiting is for names and attributes, not for bytes",
            "list the directories before (ls -lR, or load --dry-run), and raise attr_timeout and entry_timeout",
        )
    elif shares is not None and shares.names > 0.5:
        yield Finding(f"in the last minutes {shares.names:.0%} of the waiting was for names and attributes")
    if kind != SERVER or fails or 2 * number < total:
        return
    longest = max(each.for_s for look in looks for each in look if each.cause.server == server)
    what = f"{number / total:.0%} of the waiting is for {server}; the longest so far took {duration(longest)}"
    if server.startswith(_CACHE):
        yield Finding(what, _SLOW_DISK)
    else:
        yield Finding(what, "it answers slowly: look at its load and at the way to it; a client cache asks it once")


def _busy_readers(readers: Sequence[Reader]) -> Iterator[Finding]:
    for reader in readers:
        waits = reader.mount + reader.pages
        if reader.runs + reader.other > 0 and waits <= 0.2:
            yield Finding(
                f"{reader.name} ({reader.pid}) waits for the mount only {waits:.0%} of the time: it runs "
                f"{reader.runs:.0%}, and waits for something else {reader.other:.0%}",
                "the mount does not hold it up",
            )


def _most(names: Sequence[str]) -> tuple[str, int]:
    """Returns the name that comes most often, and how often; ("", 0) for none."""
    return Counter(names).most_common(1)[0] if names else ("", 0)


def _number(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"
