#!/bin/sh
# The tests need a real MQTT broker; install Debian's where that is permitted.
set -eu
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get -qq update && apt-get -qq install -y --no-install-recommends mosquitto >/dev/null
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null && command -v apt-get >/dev/null; then
    sudo apt-get -qq update && sudo apt-get -qq install -y --no-install-recommends mosquitto >/dev/null
else
    echo "The tests need the broker mosquitto, and this user may not install it." >&2
    echo "Ask an administrator for: apt install mosquitto" >&2
    exit 69
fi
