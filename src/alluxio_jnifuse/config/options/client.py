"""Properties of this client, whatever storage it shows."""

from __future__ import annotations

from alluxio_jnifuse.config.options.option import UINT32_MAX, Option

CLIENT_PROPERTIES = (
    # The storage and the mount point.
    Option(
        "alluxio.master.mount.table.root.ufs", "text", "",
        "the storage to mount when no cluster is configured: a directory, file:// or oss://bucket/directory/ (other "
        "characters than those of a URI percent-encoded); `--ufs` also takes alluxio://host:port/path, and wins over a "
        "configured cluster",
        "no storage would suit everybody",
        aliases=("alluxio.underfs.address",), env="ALLUXIO_MASTER_MOUNT_TABLE_ROOT_UFS", here=True,
    ),
    Option(
        "alluxio.fuse.mount.point", "text", "/mnt/alluxio-fuse",
        "where to mount (MOUNT_POINT)", "Alluxio's",
        aliases=("alluxio.worker.fuse.mount.point",), here=True,
    ),
    Option(
        "alluxio.fuse.mount.alluxio.path", "text", "/",
        "the part of the storage to show (ALLUXIO_PATH)", "Alluxio's",
        aliases=("alluxio.worker.fuse.mount.alluxio.path",), here=True,
    ),
    Option(
        "alluxio.fuse.mount.options", "text", "",
        "mount options, as after -o; an -o on the command line adds to them",
        "the defaults are the fast ones",
        aliases=("alluxio.worker.fuse.mount.options",),
    ),
    Option(
        "alluxio.fuse.umount.timeout", "duration", "0s",
        "how long SIGTERM and `umount -l` wait for open files before the mount is detached", "Alluxio's",
        low=0, high=UINT32_MAX,
    ),
    Option(
        "alluxio.fuse.special.command.enabled", "bool", "false",
        "`ls -l DIRECTORY/.alluxiocli.metadatacache.drop` (`.dropAll`, `.size`) makes mount and kernel forget names, "
        "attributes and listings, as `alluxio-jnifuse refresh DIRECTORY` does without it",
        "Alluxio's",
    ),
    Option(
        "alluxio.fuse.jnifuse.enabled", "bool", "true",
        "false: the binding to libfuse is llfuse, with Python on every request, in place of the C core; it caches "
        "nothing in memory, and has no passthrough (docs/TUNING.md)",
        "Alluxio's, where it chooses between JNI and JNR", here=True,
    ),
    # Patience.
    Option(
        "alluxio.user.streaming.data.read.timeout", "duration", "3min",
        "a read that waited this long for the source answers EIO, a worker of a cluster is given up for another one; "
        "0 or less = never",
        "Alluxio's since 2.8",
        "read_timeout_ms", 0, UINT32_MAX,
        (
            "alluxio.user.streaming.data.timeout", "alluxio.user.network.data.timeout",
            "alluxio.user.network.data.timeout.ms",
        ),
    ),
    Option(
        "alluxio.user.rpc.retry.max.duration", "duration", "2min",
        "a look-up, listing or open that waited this long answers EIO, and a mount fails (after 10s, where this is not "
        "set); 0 or less = never",
        "Alluxio's",
        "metadata_timeout_ms", 0, UINT32_MAX,
    ),
    # The log.
    Option(
        "alluxio.fuse.logging.threshold", "duration", "10s",
        "warn of requests slower than this; 0 or less = never", "Alluxio's",
        "slow_ms", 0, UINT32_MAX, env="SPENT_TIME",
    ),
    Option(
        "alluxio.fuse.debug.enabled", "bool", "false",
        "log every request, and let a crash leave a core",
        "costs more than it serves; a core holds credentials and data",
        "debug", here=True,
    ),
    Option(
        "alluxio.logs.dir", "text", "",
        "directory of the log files",
        "/var/log/alluxio-jnifuse for root, else $XDG_STATE_HOME/alluxio-jnifuse",
        env="ALLUXIO_LOGS_DIR", here=True,
    ),
    # The places of alluxio-site.properties, and the values that ${...} may refer to.
    Option("alluxio.home", "text", "/opt/alluxio", "Alluxio's directory", "that of its images", env="ALLUXIO_HOME",
           here=True),
    Option("alluxio.work.dir", "text", "${alluxio.home}", "for ${alluxio.work.dir} in other values", "Alluxio's",
           here=True),
    Option(
        "alluxio.conf.dir", "text", "${alluxio.home}/conf",
        "directory of alluxio-site.properties", "Alluxio's", env="ALLUXIO_CONF_DIR", here=True,
    ),
    Option(
        "alluxio.site.conf.dir", "text", "${alluxio.conf.dir}/,${user.home}/.alluxio/,/etc/alluxio/",
        "directories searched for alluxio-site.properties; the first one found is read", "Alluxio's",
        here=True,
    ),
)  # fmt: skip
