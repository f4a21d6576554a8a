#!/bin/sh
# Runs after the package is installed or upgraded. Starts nothing: the settings come first. An upgrade restarts nothing,
# because streams and tables are upgraded before the services.
set -e

[ ! -d /run/systemd/system ] || systemctl daemon-reload

# Debian's dpkg passes the version before, rpm the number of installed versions.
if [ "$1" = configure ] && [ -n "$2" ] || [ "$1" = 2 ]; then
	echo "driftless: upgraded. To finish: driftless topology apply, driftless migrate, systemctl restart 'driftless@*'"
fi
