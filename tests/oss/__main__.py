"""`python -m oss [DIRECTORY]`: a server in the foreground, until Ctrl-C; its bucket has the files of the directory."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from oss.server import OssServer


def main() -> int:
    arguments = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    keys = {arguments.key_id: arguments.key_secret}
    with tempfile.TemporaryDirectory(prefix="oss-") as root:
        with OssServer(Path(root), keys, https=arguments.https, port=arguments.port) as server:
            server.create_bucket(arguments.bucket)
            if arguments.directory is not None:
                server.put_tree(arguments.bucket, arguments.directory.absolute())
            _tell(arguments, server)
            try:
                signal.pause()
            except KeyboardInterrupt:
                print(f"\nended after {dict(server.counts())}", flush=True)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m oss", description="A server of OSS's protocol in the foreground.")
    parser.add_argument("directory", nargs="?", type=Path, help="its files are objects, in place; default: none")
    parser.add_argument("--bucket", default="bucket")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--https", action="store_true")
    parser.add_argument("--key-id", default="key")
    parser.add_argument("--key-secret", default="secret")
    return parser.parse_args()


def _tell(arguments: argparse.Namespace, server: OssServer) -> None:
    words = " ".join(f"-D {name}={value}" for name, value in server.properties(arguments.key_id).items())
    print(f"oss://{arguments.bucket}/ has {len(server.keys(arguments.bucket))} objects")
    print(f"  mount  alluxio-jnifuse mount --ufs oss://{arguments.bucket}/ {words} DIRECTORY")
    if arguments.https:
        print(f"  ca     {server.ca_file}")
    print("Ctrl-C ends it.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
