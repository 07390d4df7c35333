"""Properties of the endpoint that shows the counters of a mount over HTTP."""

from __future__ import annotations

from alluxio_jnifuse.config.options.option import Option

WEB_PROPERTIES = (
    Option(
        "alluxio.fuse.web.enabled", "bool", "false",
        "show the mount over HTTP: its counters at `/metrics/prometheus` and `/metrics/json`, its health at "
        "`/healthz`, and the live page, the address of which is in the log (METRICS.md)",
        "Alluxio's; every program that can connect can read the counters", here=True,
    ),
    Option(
        "alluxio.fuse.web.bind.host", "text", "127.0.0.1",
        "the address to listen on; 0.0.0.0 or ::, all of this machine",
        "other machines see the counters only if that is wanted; Alluxio's is 0.0.0.0", here=True,
    ),
    Option(
        "alluxio.fuse.web.port", "count", "49999",
        "the port to listen on; 0: one that is free, which the log tells. If another mount has it, the log says so and "
        "the mount goes on without",
        "Alluxio's", low=0, high=65535, here=True,
    ),
    Option(
        "alluxio.fuse.web.hostname", "text", "",
        "a comma list of names under which this machine is asked, beside its addresses and `localhost`",
        "a page of a stranger could have a browser ask under a name of its own", here=True,
    ),
)  # fmt: skip
