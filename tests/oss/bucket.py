"""One bucket for one test, and how the client is told of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.sources.oss import from_config
from alluxio_jnifuse.sources.oss.source import OssSource
from oss.server import OssServer

KEY_ID, SECRET = "LTAIofthetests", "secret-of-the-tests"
NOWHERE = "/nonexistent"  # where no alluxio-site.properties is


class Bucket:
    """A bucket of `server`, whose directory `dir/` is the one to show."""

    def __init__(self, server: OssServer, name: str) -> None:
        self.server = server
        self.name = name
        server.create_bucket(name)
        server.put(name, "dir/", b"")

    @property
    def uri(self) -> str:
        """The directory to show."""
        return f"oss://{self.name}/dir/"

    def put(self, path: str, body: bytes | Path, **more: object) -> None:
        """Writes what the client shall see at a path."""
        self.server.put(self.name, f"dir/{path}", body, **more)  # type: ignore[arg-type]

    def put_many(self, bodies: Mapping[str, bytes | Path]) -> None:
        """As `put`, at once."""
        self.server.put_many(self.name, {f"dir/{path}": body for path, body in bodies.items()})

    def delete(self, *paths: str) -> None:
        self.server.delete(self.name, *(f"dir/{path}" for path in paths))

    def properties(self, **more: str) -> dict[str, str]:
        """What a client needs; `more`: with `_` for the dots of names behind `fs.oss.`, `path_style_access`."""
        needed = {
            "fs.oss.endpoint": self.server.endpoint,
            "fs.oss.accessKeyId": KEY_ID,
            "fs.oss.accessKeySecret": SECRET,
        }
        given = {f"fs.oss.{name.replace('_', '.')}": value for name, value in more.items()}
        return {name: value for name, value in {**needed, **given}.items() if value}

    def config(
        self,
        properties: Mapping[str, str] | None = None,
        options: Iterable[str] = ("attr_timeout=0",),
        uri: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> Config:
        """All settings of a mount. By default nothing that was told before is believed."""
        chosen = self.properties() if properties is None else properties
        return Config.load(
            options=options,
            properties=[f"{name}={value}" for name, value in chosen.items()],
            ufs=uri or self.uri,
            environ={"ALLUXIO_CONF_DIR": NOWHERE, **(environ or {})},
        )

    def source(self, config: Config | None = None, **patience: float) -> OssSource:
        """A source that has answered. `patience`: fields of Settings, shorter than what may be configured."""
        chosen = config or self.config()
        settings = from_config.settings(chosen.ufs, chosen)._replace(**patience)
        made = OssSource(settings, from_config.credentials(chosen))
        try:
            made.connect()
        except BaseException:
            made.close()
            raise
        return made

    def counts(self) -> Mapping[str, int]:
        """Requests since the last reset of the server, by operation."""
        return self.server.counts()
