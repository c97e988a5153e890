#!/usr/bin/env bash
# Builds the images that docker-compose.yml runs, from programs of this machine:
# nothing is pulled, since all images are made FROM scratch.
#
#   deploy/build-images.sh [conductor] [etcd] [prometheus]
#
# If none is named: conductor and etcd. Both are compiled here and static.
# Prometheus is the one that is installed here (Debian: apt-get install prometheus).
#
# CONDUCTOR_IMAGE, ETCD_IMAGE and PROMETHEUS_IMAGE name the images, as they do in the
# compose file; VERSION is what `conductor version` will say (default: git describe).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The classic builder: it needs no plugin, and there is nothing here to speed up.
export DOCKER_BUILDKIT=0
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
mkdir -p bin/empty

# collect copies an installed program into a tree of its own, with what it links.
collect() {
	local tree=$1 program=$2 path library
	path=$(command -v "$program") || {
		echo "build-images.sh: there is no $program here: install it, or set PROMETHEUS_IMAGE to a public image" >&2
		exit 1
	}
	mkdir -p "$tree/bin"
	cp -L "$path" "$tree/bin/$program"
	# A static program links nothing, and ldd fails.
	{ ldd "$path" 2>/dev/null || true; } | grep -o '/[^ ]*' | while read -r library; do
		mkdir -p "$tree${library%/*}"
		cp -L "$library" "$tree$library"
	done
}

[ $# -gt 0 ] || set -- conductor etcd
for image; do
	case $image in
	conductor)
		tag=${CONDUCTOR_IMAGE:-conductor:dev}
		files=(bin/conductor)
		CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$version" -o bin/conductor ./cmd/conductor
		;;
	etcd)
		tag=${ETCD_IMAGE:-conductor-etcd:dev}
		files=(bin/etcd bin/etcdctl)
		test/e2e/tools/build.sh bin etcd etcdctl
		;;
	prometheus)
		tag=${PROMETHEUS_IMAGE:-conductor-prometheus:dev}
		files=(bin/prometheus-root)
		rm -rf bin/prometheus-root
		collect bin/prometheus-root prometheus
		collect bin/prometheus-root promtool
		;;
	*)
		echo "build-images.sh: there is no image called $image" >&2
		exit 2
		;;
	esac
	# The engine is sent what this image is made of, and nothing else.
	tar -c "deploy/$image.Dockerfile" bin/empty "${files[@]}" |
		docker build --quiet --file "deploy/$image.Dockerfile" --tag "$tag" \
			--label "org.opencontainers.image.version=$version" - >/dev/null
	docker image inspect --format "$tag {{.Id}} {{.Size}} bytes" "$tag"
done
