#!/usr/bin/env bash
# Makes roles and users in etcd for conductors and for the people around them.
# It may be run again: what is there stays, what is missing is added.
#
#   deploy/etcd-roles.sh [--prefix KEY] [--passwords DIR] [--enable-auth] [USER=ROLE]...
#
# Roles, all below --prefix (default /conductor/v1/):
#   conductor   everything: what "conductor serve" needs
#   operator    "conductor lock" with all its verbs, and "conductor audit": reads all,
#               and writes locks, but no records
#   viewer      reads locks, open work, conductors and events. Not the records, since
#               these may hold passwords of machines
#
# (In etcd they are called conductor, conductor-operator and conductor-viewer.)
#
# A new USER has the password in the file DIR/USER, one word. Without such a file it
# has none, and logs in with a client certificate whose common name is USER.
#
# --enable-auth makes the user "root" with the role "root", in the same way, and has
# etcd ask everybody who they are from then on. Without it nothing is enforced.
#
# Where etcd is and who asks is up to etcdctl: ETCDCTL_ENDPOINTS, ETCDCTL_CACERT,
# ETCDCTL_CERT, ETCDCTL_KEY, and ETCDCTL_USER=root:PASSWORD once it asks.
set -euo pipefail

prefix=/conductor/v1/
passwords=
enable=
users=()

fail() {
	echo "etcd-roles.sh: $1" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--prefix | --passwords)
		[ $# -gt 1 ] || fail "$1 wants a value"
		if [ "$1" = --prefix ]; then prefix=${2%/}/; else passwords=$2; fi
		shift
		;;
	--enable-auth) enable=yes ;;
	?*=conductor) users+=("$1") ;;
	?*=operator | ?*=viewer) users+=("${1%=*}=conductor-${1##*=}") ;;
	*) fail "\"$1\": want USER=ROLE, and as ROLE conductor, operator or viewer" ;;
	esac
	shift
done
[ -z "$passwords" ] || [ -d "$passwords" ] || fail "$passwords is no directory"

# there says whether a list of etcdctl has a line.
there() {
	grep -qxF -- "$2" <<<"$1"
}

# role makes a role.
role() {
	there "$roles" "$1" || etcdctl role add "$1"
}

# may lets a role read, write or readwrite what begins with a key below the prefix.
may() {
	etcdctl role grant-permission --prefix=true "$1" "$2" "$prefix$3" >/dev/null
}

# user makes a user with a role.
user() {
	if ! there "$known" "$1"; then
		if [ -n "$passwords" ] && [ -f "$passwords/$1" ]; then
			# From a pipe, since all can see arguments.
			etcdctl user add "$1" --interactive=false <"$passwords/$1"
		else
			etcdctl user add "$1" --no-password
		fi
		known+=$'\n'$1
	fi
	etcdctl user grant-role "$1" "$2" >/dev/null
}

roles=$(etcdctl role list)
known=$(etcdctl user list)

role conductor
may conductor readwrite ""

role conductor-operator
may conductor-operator read ""
for key in locks/ locks-broken/ intents/ clients/ events/; do
	may conductor-operator readwrite "$key"
done

role conductor-viewer
for key in conductors/ clients/ intents/ events/ meta/; do
	may conductor-viewer read "$key"
done
# One range for locks/ and locks-broken/: who watches both together may only do so
# with a permission that covers both.
etcdctl role grant-permission conductor-viewer read "${prefix}locks-" "${prefix}locks0" >/dev/null

for pair in ${users[@]+"${users[@]}"}; do
	user "${pair%=*}" "${pair##*=}"
done

if [ -n "$enable" ]; then
	there "$roles" root || etcdctl role add root
	user root root
	etcdctl auth enable
fi
