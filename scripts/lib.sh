# Shared by the scripts: source it, do not run it.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[[ ":$PATH:" == *:/usr/local/go/bin:* ]] || PATH=$PATH:/usr/local/go/bin

# The paths of the clone are not in what is built, so clones share Go's build cache.
export GOFLAGS="${GOFLAGS:+$GOFLAGS }-trimpath"

# Most programs of the build and the checks end soon, and there is memory: less garbage collection.
export GOGC=${GOGC:-400}

say() { printf '%s\n' "$*" >&2; }
die() {
	say "${0##*/}: $*"
	exit 1
}

# Prints the comment at the top of the script that was called.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p;}' "$0"; }

# Exits with a clear message unless Go is installed and can build this, or can download a version that can.
need_go() {
	local wanted
	wanted=$(sed -n 's/^go //p' "$root/go.work")
	command -v go >/dev/null || die "Go is not installed: get $wanted or newer from https://go.dev/dl"
	(cd "$root" && go env GOVERSION >/dev/null) ||
		die "this needs Go $wanted or newer, found $(GOTOOLCHAIN=local GOWORK=off go version): see https://go.dev/dl"
}

# apt_install WHY PACKAGE...
apt_install() {
	local why=$1 sudo=()
	shift
	command -v apt-get >/dev/null || die "$why: install $* (there is no apt-get here to do it with)"
	if [[ $(id -u) != 0 ]]; then
		command -v sudo >/dev/null || die "$why: as root, run apt-get update && apt-get install -y --no-install-recommends $*"
		sudo=(sudo)
	fi
	say "$why: installing $* with apt-get"
	{
		"${sudo[@]}" apt-get update -qq
		"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
	} </dev/null >/dev/null
}

# Installs PostgreSQL unless a server is in PATH, where pg_config says, or where Debian puts it.
need_postgres() {
	command -v postgres >/dev/null && return
	local dir
	for dir in "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin; do
		[[ -x $dir/postgres ]] && return
	done
	apt_install "no PostgreSQL server found" postgresql
}

# Installs the C compiler that go test -race needs.
need_race() {
	command -v "$(go env CC)" >/dev/null || apt_install "the race detector needs a C compiler" gcc libc6-dev
}

# Installs the checker of shell scripts.
need_shellcheck() {
	command -v shellcheck >/dev/null || apt_install "no shellcheck found" shellcheck
}

# Installs Chromium for the tests of the console's pages, and the checker of their accessibility from npm, which
# DRIFTLESS_AXE then names.
need_browser() {
	command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null ||
		apt_install "the tests of the console's pages need a browser" chromium-headless-shell
	local version=4.14.1 dir
	dir=${DRIFTLESS_TOOLS:-$root/.build}/axe-core-$version
	if [[ ! -f $dir/package/axe.min.js ]]; then
		command -v npm >/dev/null || apt_install "axe-core comes from npm" npm
		say "getting axe-core $version from npm (once)"
		mkdir -p "$dir"
		(cd "$dir" && npm pack --silent "axe-core@$version" >/dev/null && tar -xzf "axe-core-$version.tgz" package/axe.min.js)
	fi
	export DRIFTLESS_AXE=$dir/package/axe.min.js
}

# Builds all programs into .build/bin. Takes no time if nothing changed.
build_programs() {
	need_go
	[[ -x $root/.build/bin/driftless ]] || say "building (once; the first build takes some minutes)"
	mkdir -p "$root/.build/bin"
	local commit
	commit=$(git -C "$root" describe --always --exclude='*' --abbrev=40 --dirty 2>/dev/null || true)
	(cd "$root/services" && go build -buildvcs=false \
		-ldflags="-X github.com/driftless-sync/driftless/services/internal/service.commit=$commit" \
		-o "$root/.build/bin/" ./cmd/... ./test/bench)
}

# The directory of the tools of scripts/tools, in exactly their versions. DRIFTLESS_TOOLS says where to keep tools.
# Defaults to .build.
tool_dir() {
	printf '%s/tools/%s\n' "${DRIFTLESS_TOOLS:-$root/.build}" "$(sha256sum "$root/scripts/tools/go.sum" | cut -c 1-12)"
}

# need_tools NAME...: builds missing tools, and puts all in PATH.
need_tools() {
	local dir name package missing=()
	dir=$(tool_dir)
	PATH=$dir:$PATH
	for name in "$@"; do
		[[ -x $dir/$name ]] || missing+=("$name")
	done
	[[ ${#missing[@]} == 0 ]] && return
	need_go
	say "building ${missing[*]} (once; buf and golangci-lint take minutes)"
	mkdir -p "$dir"
	for name in "${missing[@]}"; do
		package=$(sed -n "s|^[[:space:]]*\([^[:space:]]*/$name\)\$|\1|p" "$root/scripts/tools/go.mod")
		[[ -n $package ]] || die "scripts/tools/go.mod has no tool called $name"
		(cd "$root/scripts/tools" && GOWORK=off go build -buildvcs=false -o "$dir/$name.new" "$package")
		mv "$dir/$name.new" "$dir/$name"
	done
}

# Puts GoReleaser in PATH, in exactly its version. Its module is its own, because it needs more than all other tools.
need_goreleaser() {
	local module=$root/scripts/tools/release dir
	dir=${DRIFTLESS_TOOLS:-$root/.build}/tools/release-$(sha256sum "$module/go.sum" | cut -c 1-12)
	PATH=$dir:$PATH
	[[ -x $dir/goreleaser ]] && return
	need_go
	say "building goreleaser (once; it takes minutes)"
	mkdir -p "$dir"
	(cd "$module" && GOWORK=off go build -buildvcs=false -o "$dir/goreleaser.new" github.com/goreleaser/goreleaser/v2)
	mv "$dir/goreleaser.new" "$dir/goreleaser"
}

# Puts promtool in PATH. If there is none, it unpacks Debian's package of Prometheus without installing it.
need_promtool() {
	local dir=${DRIFTLESS_TOOLS:-$root/.build}/promtool
	command -v promtool >/dev/null && return
	if [[ ! -x $dir/usr/bin/promtool ]]; then
		command -v apt-get >/dev/null || die "promtool is not installed: get it with Prometheus, https://prometheus.io/download"
		say "unpacking promtool from Debian's package (once)"
		rm -rf "$dir"
		mkdir -p "$dir"
		(
			cd "$dir"
			# Without apt's lists, as in a new container, the package is unknown.
			apt-get download -qq prometheus >/dev/null 2>&1 || {
				apt-get update -qq >/dev/null && apt-get download -qq prometheus >/dev/null
			} || die "cannot download Debian's package of Prometheus: as root, run apt-get update, or install promtool"
			dpkg-deb -x prometheus_*.deb .
			rm -- prometheus_*.deb
		)
	fi
	PATH=$dir/usr/bin:$PATH
}
