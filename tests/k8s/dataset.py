"""A bucket of OSS in a pod: `python3 -m dataset`, with this file and tests/oss beside it, and nothing but Python.

Whoever checks the bytes makes the same ones from their names.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from pathlib import Path

BUCKET, DIRECTORY = "imagenet", "data"
KEY_ID, SECRET = "acceptance-key", "acceptance-secret"
PORT = 8080
FILES = {  # bytes by name
    "train/part-00000": 40_000_000,  # two blocks of the advanced values
    "train/part-00001": 1_000_000,
    "validation/part-00000": 3_000_001,
}


def content(name: str) -> bytes:
    """The bytes of a file."""
    return random.Random(name).randbytes(FILES[name])


def main() -> None:
    """Serves them until it is killed; the server itself listens on loopback only."""
    from oss.server import OssServer

    root = Path(tempfile.mkdtemp())
    with OssServer(root / "server", {KEY_ID: SECRET}) as server:
        for name in FILES:
            path = root / DIRECTORY / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(name))
        server.create_bucket(BUCKET)
        server.put_tree(BUCKET, root / DIRECTORY, f"{DIRECTORY}/")
        asyncio.run(_forward(server.port))


async def _forward(port: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_copy(reader, behind_writer), _copy(behind_reader, writer))

    await (await asyncio.start_server(serve, os.environ.get("ADDRESS", "0.0.0.0"), PORT)).serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


if __name__ == "__main__":
    main()
