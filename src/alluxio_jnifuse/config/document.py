"""Prints docs/CONFIGURATION.md, made of the tables; `make docs` writes it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from alluxio_jnifuse.config.merge import shown
from alluxio_jnifuse.config.options import BY_ENV, OPTIONS, Option, is_property
from alluxio_jnifuse.config.properties import IGNORED

_HEAD = """\
<!-- Made by `make docs` of the tables in src/alluxio_jnifuse/config/: options/ and properties.py. -->
# Configuration

Nothing has to be set: the defaults are the fast ones. Settings have the names that AlluxioFuse gave them.
[TUNING](TUNING.md) says which few are worth a thought. `alluxio-jnifuse options WORD` shows a setting in a terminal.

- [Where values come from](#where-values-come-from)
- [Notations](#notations)
- [Mount options (`-o`)](#mount-options--o)
- [Properties (`-D`, `-o`, alluxio-site.properties)](#properties--d--o-alluxio-siteproperties)
- [Properties for an Alluxio cluster](#properties-for-an-alluxio-cluster)
- [Properties for a bucket of OSS](#properties-for-a-bucket-of-oss)
- [Environment variables](#environment-variables)
- [Properties without effect](#properties-without-effect)

## Where values come from

The first of these places that has a value counts:

1. `-o` options, `--ufs` and the arguments of the command line,
2. `-D KEY=VALUE`,
3. `-Dkey=value` in `ALLUXIO_FUSE_JAVA_OPTS`, `ALLUXIO_USER_JAVA_OPTS`, `ALLUXIO_JAVA_OPTS`, in this order; words are
   quoted as in a shell, `$NAME` and `${NAME}` are variables of the environment, flags for a Java machine are named in
   the log once,
4. the environment variables below,
5. `alluxio-site.properties`: its contents in `$ALLUXIO_SITE_PROPERTIES`, else the first one found in
   `$ALLUXIO_CONF_DIR`, `~/.alluxio` and `/etc/alluxio`,
6. the configuration of the cluster that is mounted, as its master tells it (`alluxio-jnifuse getConf --master`).
   Settings that describe a machine, its files, its users or its memory, the mount itself or the way to the cluster are
   not taken from there; references reach nothing but that configuration and defaults,
7. the default.

Mount options in the property `alluxio.fuse.mount.options` count as that property does. The cache mode comes from the
first place that names one; within one place `direct_io` wins over `kernel_cache`, and `kernel_cache` over `auto_cache`.
The log of a mount names every setting that is not a default, and where it was set; so does
`alluxio-jnifuse getConf --source`.

An unknown mount option, a bad value and options that exclude each other are errors: the command names all of them.
A property that is unknown, belongs to another part of Alluxio or has no effect on this mount is never an error: the log
has one line with the key and the reason. A bad value in the cluster's configuration is a line in the log, too. If a
key is set twice in one place, the last value counts, and the log says so.

## Notations

| kind | written as |
|---|---|
| size | `32MB`, `1.5GB`, `1G`, `131072`: powers of 1024, no unit = bytes, any case |
| duration | `1000ms`, `10s`, `2min`, `12h`, `2day`: whole numbers, no unit = milliseconds; 49 days at most |
| seconds | `7200`, `1.5` |
| bool | `true`, `false` |
| switch | `on`, `off`; the name alone is `on` |
| flag | the name alone |
| class | the name of a Java class, with or without its package |
| address | `host` or `host:port`, an IPv6 address in brackets; addresses: a comma list of them |

Quotes around a value are taken off. `${other.key}` stands for the value of another property.
"""

_TITLES = "| name | value; default | meaning, and the reason for the default |\n|---|---|---|\n"


def render() -> str:
    """The whole document."""
    takes_effect = [row for row in OPTIONS if row.kind != "accepted"]
    accepted = [row for row in OPTIONS if row.kind == "accepted"]
    return "\n".join(
        [
            _HEAD,
            "## Mount options (`-o`)\n",
            _TITLES + _rows(row for row in takes_effect if not is_property(row.name)),
            _wrapped(f"Accepted without effect: {_accepted(accepted)}. So are words that begin with `x-` or `X-`."),
            "## Properties (`-D`, `-o`, alluxio-site.properties)\n",
            _TITLES + _rows(row for row in takes_effect if is_property(row.name) and not (row.cluster or row.oss)),
            "## Properties for an Alluxio cluster\n",
            "They have no effect on another storage. One mount shows one cluster: that of `--ufs alluxio://host:port/path`,\n"
            "else the configured one, below ALLUXIO_PATH.\n",
            _TITLES + _rows(row for row in takes_effect if row.cluster),
            "## Properties for a bucket of OSS\n",
            "They have no effect on another storage; a cluster has its own way to OSS. If several places have a key,\n"
            "the first of these counts: `fs.oss.accessKeyId` of the command line or of `*_JAVA_OPTS`, the RAM role,\n"
            "the command, none at all (`fs.oss.anonymous`), the variables of the environment, `fs.oss.accessKeyId`\n"
            "of alluxio-site.properties, the role of the pod's service account (`ALIBABA_CLOUD_ROLE_ARN` and its\n"
            "like). Proxies are those of `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, certificates those of the\n"
            "system or of `SSL_CERT_FILE`.\n",
            _TITLES + _rows(row for row in takes_effect if row.oss),
            "## Environment variables\n",
            "| variable | same as |\n|---|---|\n" + "".join(f"| `{n}` | `{r.name}` |\n" for n, r in BY_ENV.items()),
            "## Properties without effect\n",
            "They are accepted, and the log names each one that is set. The first row that a key starts with counts.\n",
            "| key starts with | reason |\n|---|---|\n"
            + "".join(f"| {f'`{prefix}`' if prefix else 'anything else'} | {reason} |\n" for prefix, reason in IGNORED),
        ]
    ).rstrip("\n") + "\n"  # fmt: skip


def _rows(rows: Iterable[Option]) -> str:
    return "".join(
        f"| {_names(row)} | {_values(row)}{_default(row)} | {row.help}. *Why:* {row.why} |\n" for row in rows
    )


def _default(row: Option) -> str:
    return f"; `{row.default}`" if row.default else ""


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False) + "\n"


def _accepted(rows: Iterable[Option]) -> str:
    """Names and reasons, those with one reason together."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        by_reason.setdefault(row.why, []).append(f"`{row.name}`")
    return "; ".join(f"{', '.join(names)} ({why})" for why, names in by_reason.items())


def _names(row: Option) -> str:
    names = f"`{row.name}`"
    if row.off:
        names += f", opposite `{row.off}`"
    if row.aliases:
        names += " (also " + ", ".join(f"`{alias}`" for alias in row.aliases) + ")"
    return names


def _values(row: Option) -> str:
    if row.choices:
        return ", ".join(f"`{choice}`" for choice in row.choices)
    kind = "flag" if row.kind == "mode" else row.kind
    if row.kind == "duration" or row.low is None or row.high is None:
        return kind
    if row.kind == "seconds":
        return kind
    return f"{kind}, {shown(row, row.low)} to {shown(row, row.high)}"


if __name__ == "__main__":
    print(render(), end="")
