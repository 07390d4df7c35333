"""The table of all checks. A new one is a function and a row here; CONTRIBUTING.md says how."""

from __future__ import annotations

from alluxio_jnifuse.doctor import bucket, cache, cluster, machine, mounts, settings, storage
from alluxio_jnifuse.doctor.examine import Check
from alluxio_jnifuse.doctor.subject import Subject


def _machine(subject: Subject) -> bool:
    return subject.is_machine


def _mount(subject: Subject) -> bool:
    return not subject.is_machine


def _running(subject: Subject) -> bool:
    return subject.record is not None


def _planned(subject: Subject) -> bool:
    return not subject.is_machine and subject.record is None


def _other_storage(subject: Subject) -> bool:
    return not subject.is_machine and not subject.of_bucket and not subject.of_cluster


def _always(_: Subject) -> bool:
    return True


_BUSY = "this machine is too busy to be looked at"

CHECKS = (
    Check("versions", machine.versions, _BUSY, _machine),
    Check("device", machine.device, "/dev/fuse does not answer", _machine),
    Check("rights", machine.rights, _BUSY, _machine),
    Check("limits", machine.own_limits, _BUSY, _machine),
    Check("memory", machine.memory, _BUSY, _machine),
    Check("huge-pages", machine.huge_pages, _BUSY, _machine),
    Check("stale-mounts", machine.stale, "a mount does not answer", _machine),
    Check("settings", settings.settings, "a file of settings does not answer", _always),
    Check("mount-point", mounts.place, "the directory does not answer", _planned),
    Check("allow-other", mounts.others, _BUSY, _planned),
    Check("propagation", mounts.propagation, _BUSY, _mount),
    Check("answers", mounts.answers, "the mount does not answer", _running),
    Check("daemon-limits", mounts.daemon_limits, _BUSY, _running),
    Check("read-ahead", mounts.read_ahead, _BUSY, _running),
    Check("passthrough", mounts.passthrough, "the daemon does not answer", _mount),
    Check("log", mounts.log, "the log cannot be read", _running),
    Check("cache-directory", cache.cache_directories, "the disk of the client cache does not answer", _mount),
    Check("storage", storage.storage, "the storage does not answer", _other_storage),
    Check("bucket", bucket.bucket, "the bucket does not answer", lambda s: _mount(s) and s.of_bucket, 90.0),
    Check("cluster", cluster.cluster, "the cluster does not answer", lambda s: _mount(s) and s.of_cluster, 90.0),
)
