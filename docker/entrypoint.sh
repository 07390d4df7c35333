#!/bin/sh
# tini passes signals on and buries orphans; who runs this under an init of his own needs no second one.
set -- /opt/alluxio-jnifuse/bin/python -m alluxio_jnifuse.entrypoint "$@"
[ $$ -ne 1 ] || set -- tini -- "$@"
exec "$@"
