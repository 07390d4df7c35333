"""Checks of a bucket: its endpoint, the clock, the key and its rights.

A mount asks the same questions in the same way: the bucket is opened as `mount` opens it. Beside that one byte of the
first object is read.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from shlex import quote
from typing import TYPE_CHECKING

from alluxio_jnifuse.config import secrets
from alluxio_jnifuse.doctor.finding import ERROR, NOTE, OK, WARNING, Finding, line_of, of_error
from alluxio_jnifuse.doctor.names import without_address
from alluxio_jnifuse.doctor.subject import Subject, is_of_way
from alluxio_jnifuse.errors import SourceError

if TYPE_CHECKING:
    from alluxio_jnifuse.config.values import Config
    from alluxio_jnifuse.sources.oss.requests.client import Client
    from alluxio_jnifuse.sources.oss.settings import Settings

_PATIENCE_S = 10.0  # of what may succeed when it is tried again, unless less is configured
_FEW = 20  # objects and directories; the first that is not empty is read
_MOST_SKEW_S = 300.0  # OSS refuses signatures that are 15 minutes old
_KEYS = ("fs.oss.accessKeyId", "fs.oss.accessKeySecret", "fs.oss.securityToken")
# Lines of what needs no property, by a part of the finding.
_LINES = (
    (r"the clock of this machine", "timedatectl set-ntp true"),
    (r"no key of the bucket begins with", "-u oss://BUCKET/DIRECTORY/"),
    (r"no such bucket", "-u oss://BUCKET/DIRECTORY/"),
    (r"security token has expired", "-D fs.oss.securityToken=VALUE"),
    (r"certificate", "export SSL_CERT_FILE=FILE"),
)
_DENIED = re.compile(r"access denied|archived")


def bucket(subject: Subject) -> Iterator[Finding]:
    """Whether the bucket can be listed and read, as a mount would."""
    config = subject.config
    if config is None:
        return
    if _way(subject.environ) != _way(os.environ):
        what = "this mount has other proxies or certificates than this command, and is to be examined alone"
        yield Finding(NOTE, what, subject.mountpoint, "name it", f"alluxio-jnifuse doctor {quote(subject.mountpoint)}")
        return
    from alluxio_jnifuse.sources.oss import from_config
    from alluxio_jnifuse.sources.oss.http.route import Route
    from alluxio_jnifuse.sources.oss.requests.client import Client

    settings = from_config.settings(config.ufs, config)
    settings = settings._replace(mount_patience_s=min(_PATIENCE_S, settings.mount_patience_s))
    proxied = Route(settings.endpoint, 0, 0).peer.startswith("the proxy ")
    nameless = None if proxied else without_address(settings.endpoint.host)
    if nameless is not None:
        remedy = "correct fs.oss.endpoint, or the name service of this machine"
        yield nameless._replace(remedy=remedy, line="-D fs.oss.endpoint=HOST")
        return
    hidden = [name for name in _KEYS if secrets.is_hidden(config.text(name))]
    if hidden:
        what = "its key was given on the command line, where it is not to be seen any more"
        line = f"alluxio-jnifuse doctor -u {quote(config.ufs)} " + " ".join(f"-D {name}=VALUE" for name in hidden)
        yield Finding(NOTE, what, subject.mountpoint, "to have the bucket examined, give it again", line)
        return
    provider = from_config.credentials(config, subject.environ)
    try:
        _open(config, settings, subject.environ)
    except SourceError as error:
        found = of_error(error)
        yield found._replace(line=_line(found, settings))
        return
    yield Finding(OK, "can be listed", config.ufs)
    client = Client(settings, provider)
    try:
        yield from _read(client, settings)
    finally:
        client.close()


def _way(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if is_of_way(name)}


def _open(config: Config, settings: Settings, environ: Mapping[str, str]) -> None:
    """Raises SourceError, ConfigError, as `mount` does."""
    from alluxio_jnifuse.sources.oss import from_config
    from alluxio_jnifuse.sources.oss.source import OssSource

    source = OssSource(settings, from_config.credentials(config, environ))
    try:
        source.connect()
    finally:
        source.close()


def _read(client: Client, settings: Settings) -> Iterator[Finding]:
    """Whether an object can be read, and what the server says the time is."""
    from alluxio_jnifuse.sources.oss.objects.pages import Pages
    from alluxio_jnifuse.sources.oss.requests.errors import FAILURES, Refused, diagnose

    where = f"oss://{settings.endpoint.bucket}/{settings.prefix}"
    try:
        page = Pages(client).first(settings.prefix, _FEW, client.patience(settings.mount_patience_s, where))
        found = next((each for each in page.objects if each.size and not each.linked), None)
        if found is None:
            return
        with client.send("get", found.key.decode(), {}, {"range": "bytes=0-0"}) as answer:
            answer.body()
            yield Finding(OK, "its objects can be read", where)
            yield from _clock(answer.headers.get("date", ""))
    except (*FAILURES, SourceError) as error:
        if isinstance(error, Refused) and error.missing:
            return  # it is gone meanwhile
        said = diagnose(error, settings)
        made = Finding(ERROR, f"an object cannot be read: {said.what}", where, said.remedy, line_of(said.remedy))
        yield made._replace(line=_line(made, settings))


def _clock(date: str) -> Iterator[Finding]:
    """Whether the clocks differ so much that signatures will be refused some day."""
    from alluxio_jnifuse.sources.oss import dates

    try:
        skew = time.time() - dates.of_http(date)
    except (ValueError, TypeError, OverflowError):
        return
    if abs(skew) < _MOST_SKEW_S:
        yield Finding(OK, "the clock of this machine agrees with the server's")
        return
    what = f"the clock of this machine is {abs(skew) / 60:.0f} min {'ahead of' if skew > 0 else 'behind'} the server's"
    remedy = "set it: beyond 15 min OSS refuses every request"
    yield Finding(WARNING, what, remedy=remedy, line="timedatectl set-ntp true")


def _line(found: Finding, settings: Settings) -> str:
    """The line for what a bucket is refused for."""
    if found.line:
        return found.line
    if _DENIED.search(found.what):
        name = settings.endpoint.bucket
        return (
            '{"Effect": "Allow", "Action": ["oss:ListObjects", "oss:GetObject"], "Resource": '
            f'["acs:oss:*:*:{name}", "acs:oss:*:*:{name}/{settings.prefix}*"]}}'
        )
    line = next((line for pattern, line in _LINES if re.search(pattern, found.what)), "")
    return line or f"curl -v {'https' if settings.endpoint.secure else 'http'}://{settings.endpoint.authority}/"
