#!/bin/sh
# What Debian's checker says of the package, besides what is overridden with a reason.
#
# Usage: scripts/lintian.sh PACKAGE.deb...
set -eu
if ! command -v lintian >/dev/null; then
    [ "$(id -u)" = 0 ] && apt-get -qq update >&2 && apt-get -qq install -y --no-install-recommends lintian >/dev/null || {
        echo "not run: lintian cannot be installed" >&2
        exit 75
    }
fi
lintian --allow-root --fail-on error,warning "$@"
