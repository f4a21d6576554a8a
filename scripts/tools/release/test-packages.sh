#!/usr/bin/env bash
# Tests the packages in /release on a machine that may be changed: scripts/test-release runs it on a copy of the machine.
# Its argument is the commit that was built. die, say and require are functions of scripts/test-release.
set -euo pipefail

commit=$1
arch=$(dpkg --print-architecture)
deb=$(echo /release/driftless_*_"$arch".deb) rpm=$(echo /release/*.rpm)
services=(ingestion push pull reconciliation console)

mode() {
	[[ $(stat --format '%a %U:%G' "$2") == "$1" ]] || die "$2 has $(stat --format '%a %U:%G' "$2") instead of $1"
}

# missing FILE...: none of the files may exist.
missing() {
	local file
	for file in "$@"; do
		[[ ! -e $file ]] || die "$file is still there"
	done
}

say "install"
! command -v driftless >/dev/null || die "driftless is installed already"
dpkg --install "$deb" >/dev/null
# shellcheck disable=SC2016 # dpkg-query fills it in
require "install ok installed" dpkg-query --show --showformat '${Status}' driftless
[[ -z $(dpkg --verify driftless) ]] || die "dpkg --verify: $(dpkg --verify driftless)"
require Apache cat /usr/share/doc/driftless/copyright
require "(${commit:0:12}" driftless --version
for service in "${services[@]}"; do
	require "$(driftless --version)" "/usr/lib/driftless/$service" --version
	mode "600 root:root" "/etc/driftless/$service.env"
done
mode "644 root:root" /etc/driftless/driftless.yaml
mode "755 root:root" /usr/lib/driftless/driftless
bash -n /usr/share/bash-completion/completions/driftless
# shellcheck disable=SC2016 # the new shell expands it
require --dry-run bash -c 'source /usr/share/bash-completion/completions/driftless
	COMP_WORDS=(driftless up --dry) COMP_CWORD=2; _driftless; echo "${COMPREPLY[@]}"'
require "#compdef driftless" cat /usr/share/zsh/vendor-completions/_driftless
require "complete -c driftless" cat /usr/share/fish/vendor_completions.d/driftless.fish

say "first run"
require "Run everything on this machine" driftless up --help
(cd /tmp && timeout 120 driftless up --dry-run --once --ports auto --data-dir /tmp/data >/tmp/up.txt 2>&1) ||
	[[ $? == 2 ]] || die "driftless up --dry-run failed: $(cat /tmp/up.txt)"

say "units"
if command -v systemd-analyze >/dev/null; then
	for service in "${services[@]}"; do
		output=$(systemd-analyze verify "driftless@$service.service" driftless.target 2>&1) ||
			die "driftless@$service.service: $output"
		[[ -z $output ]] || die "driftless@$service.service: $output"
	done
	systemctl enable --quiet driftless.target driftless@push
	[[ -L /etc/systemd/system/driftless.target.wants/driftless@push.service ]] || die "driftless@push was not enabled"
	require "/lib/systemd/system/driftless.target" readlink /etc/systemd/system/multi-user.target.wants/driftless.target
else
	say "skipped: systemd is not installed"
fi
# The settings of a unit are those of the service: the file is read, and its secret is not in the error.
echo "NATS_URL=nats://push:secret@127.0.0.1:1" >>/etc/driftless/push.env
# shellcheck disable=SC1091 # the package has the file
output=$(set -a && . /etc/driftless/push.env && DRIFTLESS_CONFIG=/etc/driftless/driftless.yaml /usr/lib/driftless/push 2>&1) &&
	die "push ran without NATS"
[[ $output == *"cannot reach NATS at nats://"*"127.0.0.1:1"* && $output != *secret* ]] || die "push says: $output"

say "upgrade"
require "upgraded. To finish: driftless topology apply" dpkg --install "$deb"
require "NATS_URL=nats://push:secret@127.0.0.1:1" cat /etc/driftless/push.env
[[ ! -d /etc/systemd/system || -L /etc/systemd/system/driftless.target.wants/driftless@push.service ]] ||
	die "the upgrade disabled driftless@push"

say "removal"
dpkg --remove driftless >/dev/null 2>&1
missing /usr/bin/driftless /usr/lib/driftless /usr/lib/systemd/system/driftless@.service \
	/etc/systemd/system/driftless.target.wants/driftless@push.service \
	/etc/systemd/system/multi-user.target.wants/driftless.target
require secret cat /etc/driftless/push.env
dpkg --purge driftless >/dev/null 2>&1
missing /etc/driftless /usr/share/doc/driftless

say "rpm"
if ! command -v rpm >/dev/null; then
	{ apt-get update -qq && apt-get install -y -qq --no-install-recommends rpm; } >/dev/null 2>&1 ||
		die "cannot install Debian's package of rpm: run apt-get update"
fi
require "digests OK" rpm --checksig --nosignature "$rpm"
require "Apache-2.0" rpm --query --info --package "$rpm"
for file in /usr/bin/driftless /usr/lib/driftless/push /usr/lib/systemd/system/driftless@.service \
	/usr/share/zsh/site-functions/_driftless; do
	require "$file" rpm --query --list --package "$rpm"
done
require /etc/driftless/push.env rpm --query --configfiles --package "$rpm"
mkdir -p /tmp/rpm
rpm --root /tmp/rpm --initdb
rpm --root /tmp/rpm --install --noscripts "$rpm" 2>/dev/null
require "(${commit:0:12}" /tmp/rpm/usr/lib/driftless/driftless --version
mode "600 root:root" /tmp/rpm/etc/driftless/push.env
rpm --root /tmp/rpm --erase --noscripts driftless 2>/dev/null
missing /tmp/rpm/usr/lib/driftless /tmp/rpm/usr/share/doc/driftless
