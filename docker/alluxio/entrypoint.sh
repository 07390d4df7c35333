#!/bin/bash
# Starts what the first argument names, as the entrypoint of Alluxio's images does.
#
#   master | worker [--no-format]             with its part of the job service, in one container
#   master-only | worker-only [--no-format]   alone
#   job-master | job-worker                   alone
#   anything else                             run as it is
#
# ALLUXIO_SITE_PROPERTIES, ALLUXIO_LOG4J_PROPERTIES: the whole contents of conf/alluxio-site.properties, log4j.properties.
set -eu

conf=$ALLUXIO_HOME/conf
[ -z "${ALLUXIO_SITE_PROPERTIES-}" ] || printf '%s\n' "$ALLUXIO_SITE_PROPERTIES" >"$conf/alluxio-site.properties"
[ -z "${ALLUXIO_LOG4J_PROPERTIES-}" ] || printf '%s\n' "$ALLUXIO_LOG4J_PROPERTIES" >"$conf/log4j.properties"

format() {
    case ${2-} in
        --no-format | -no-format) ;;
        '') alluxio "$1" ;;
        *) echo "$2: unknown; the only option is --no-format" >&2; exit 1 ;;
    esac
}

# Two servers, until one of them ends or both are told to.
both() {
    alluxio "$1" & alluxio "$2" &
    trap 'kill -TERM $(jobs -p)' TERM INT
    local code=0
    wait -n || code=$?
    trap '' TERM INT
    kill -TERM $(jobs -p) 2>/dev/null || true
    wait
    exit "$code"
}

case ${1-} in
    master) format formatMaster "${2-}"; both master job-master ;;
    worker) format formatWorker "${2-}"; both worker job-worker ;;
    master-only) format formatMaster "${2-}"; exec alluxio master ;;
    worker-only) format formatWorker "${2-}"; exec alluxio worker ;;
    job-master | job-worker) exec alluxio "$1" ;;
    fuse) echo "fuse is in the image alluxio-fuse" >&2; exit 1 ;;
    '') sed -n '3,9s/^# *//p' "$0" >&2; exit 1 ;;
    *) exec "$@" ;;
esac
