#!/bin/sh
# Runs before the package is removed, and before an upgrade, which leaves the services alone.
set -e

if [ "$1" = remove ] || [ "$1" = 0 ]; then
	if [ -d /run/systemd/system ]; then
		systemctl stop 'driftless@*' driftless.target || true
	fi
	for unit in driftless.target driftless@ingestion driftless@push driftless@pull driftless@reconciliation \
		driftless@console; do
		systemctl disable --quiet "$unit" 2>/dev/null || true
	done
fi
