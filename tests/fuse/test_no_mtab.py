"""A mount and its end run no mount(8), which libfuse would do for /run/mount/utab.

That is a fork in a process that may have threads of gRPC by then: one in ten failed, with "Invalid argument".
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from harness.mounting import COMMAND, Mounts

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can put something in the place of mount(8)"),
]

SCRIPT = """
mkdir -p /run/mount
mount -t tmpfs tmpfs /run/mount
: >/run/mount/utab
for name in umount mount; do mount --bind /bin/false "$(readlink -f /bin/$name)"; done
"$@" mount -u "$SOURCE" "$MOUNT"
cat "$MOUNT/file"
"$@" umount "$MOUNT"
test ! -s /run/mount/utab
"""


def test_mount_and_umount(private: Path, mounts: Mounts) -> None:
    """In a mount namespace in which those programs fail."""
    (private / "source").mkdir()
    (private / "source" / "file").write_text("contents")
    environ = {**mounts.environ(), "SOURCE": str(private / "source"), "MOUNT": str(private / "mnt")}
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", SCRIPT, "sh", *COMMAND],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "contents" in done.stdout
