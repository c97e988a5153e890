#!/usr/bin/env bash
# Builds the images that docker-compose.yml runs, from static programs built
# here: nothing is pulled, since both images are made FROM scratch.
#
#   deploy/build-images.sh [conductor] [etcd]     (both if none is named)
#
# CONDUCTOR_IMAGE and ETCD_IMAGE name the images, as they do in the compose file;
# VERSION is what `conductor version` will say (default: git describe).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The classic builder: it needs no plugin, and there is nothing here to speed up.
export DOCKER_BUILDKIT=0
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
mkdir -p bin/empty

[ $# -gt 0 ] || set -- conductor etcd
for image; do
	case $image in
	conductor)
		tag=${CONDUCTOR_IMAGE:-conductor:dev}
		CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$version" -o bin/conductor ./cmd/conductor
		;;
	etcd)
		tag=${ETCD_IMAGE:-conductor-etcd:dev}
		test/e2e/tools/build.sh bin etcd etcdctl
		;;
	*)
		echo "build-images.sh: there is no image called $image" >&2
		exit 2
		;;
	esac
	docker build --quiet --file "deploy/$image.Dockerfile" --tag "$tag" \
		--label "org.opencontainers.image.version=$version" . >/dev/null
	docker image inspect --format "$tag {{.Id}} {{.Size}} bytes" "$tag"
done
