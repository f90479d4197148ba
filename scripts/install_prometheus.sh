#!/bin/sh
# Debian's Prometheus (with promtool), for the tests of metrics and dashboards; the tests skip without.
set -eu
PATH="$PATH:/usr/bin"
command -v prometheus >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get -qq update && apt-get -qq install -y --no-install-recommends prometheus >/dev/null
else
    echo "prometheus is not installed (apt install prometheus)" >&2
    exit 75
fi
