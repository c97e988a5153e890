#!/usr/bin/env bash
# Measures anew what docs/performance.md tells, and writes its tables and its plot. It takes about
# ten minutes, in which the machine should do nothing else.
#
#   test/e2e/tools/performance.sh [DIR]     (DIR: where the servers have their data)
#
# Without Debian's package zookeeper, that comparison is left as it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

data=${1:-${TMPDIR:-/tmp}}
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT

go build -o "$programs/conductor" ./cmd/conductor
"$programs/conductor" bench --full --dir "$data" --markdown docs/performance.md --plot docs/performance.svg
if [ -e /usr/share/java/zookeeper.jar ] && command -v java >/dev/null; then
	test/e2e/tools/build.sh "$programs" zkbench
	"$programs/zkbench" -conductor "$programs/conductor" -dir "$data" -markdown docs/performance.md
else
	echo "no ZooKeeper here: apt-get install --no-install-recommends zookeeper"
fi
go test -run '^$' -bench 'Queue|Entry|Record' -benchtime 0.2s ./pkg/lease ./pkg/node
