#!/bin/sh
# Runs inside the container: the update that the plug is pulled on.
. /root/steps.sh
wait_for 40 detects
appliance update --install
