#!/bin/sh
# tini passes signals on and buries orphans; under another init no second one is needed.
# -I: no module of the working directory takes the place of another. -u: with -I, PYTHONUNBUFFERED counts no more.
set -- /opt/alluxio-jnifuse/bin/python -I -u -m alluxio_jnifuse.cli.container "$@"
[ $$ -ne 1 ] || set -- tini -- "$@"
exec "$@"
