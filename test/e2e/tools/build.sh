#!/usr/bin/env bash
# Builds the foreign programs that tests and checks run, from Go modules at the
# versions in this directory's go.mod:
#
#   etcd, etcdctl          peers and servers of the end-to-end tests, and images
#   etcdutl                restores backups
#   gofumpt, staticcheck   checks
#   compose-spec           reads docker-compose.yml as Compose v2 does
#   zkbench                compares node locks with ZooKeeper
#
# usage: test/e2e/tools/build.sh DIR [PROGRAM...]     (all of them if none is named)
#
# CGO_ENABLED=0, so that etcd and etcdctl run in an image made FROM scratch.
set -euo pipefail

dir=${1:?usage: build.sh DIR [PROGRAM...]}
shift
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")"

[ $# -gt 0 ] || set -- etcd etcdctl etcdutl gofumpt staticcheck compose-spec zkbench
for program; do
	case $program in
	etcd) package=go.etcd.io/etcd/server/v3 ;;
	etcdctl) package=go.etcd.io/etcd/etcdctl/v3 ;;
	etcdutl) package=go.etcd.io/etcd/etcdutl/v3 ;;
	gofumpt) package=mvdan.cc/gofumpt ;;
	staticcheck) package=honnef.co/go/tools/cmd/staticcheck ;;
	compose-spec) package=github.com/compose-spec/compose-go/v2/cmd ;;
	zkbench) package=./zkbench ;;
	*)
		echo "build.sh: I do not know how to build $program" >&2
		exit 2
		;;
	esac
	CGO_ENABLED=0 GOWORK=off go build -trimpath -buildvcs=false -o "$dir/$program" "$package"
done
