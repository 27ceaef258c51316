# Installs Debian packages, as this user or with sudo:
#
#     sh tests/apt_install.sh WHAT PACKAGE...
#
# WHAT is what they are for, for messages. Exits with 2 where this cannot be done from here.
set -u
what=$1
shift
sudo=
test "$(id -u)" -eq 0 || sudo=sudo
if ! command -v apt-get $sudo >/dev/null; then
	echo "$what: no apt-get for this user; install what is in these packages of Debian: $*" >&2
	exit 2
fi

apt() {
	$sudo env DEBIAN_FRONTEND=noninteractive timeout 900 apt-get -qq -o Acquire::Retries=3 \
		-o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 -o DPkg::Lock::Timeout=300 "$@"
}

echo "$what: installing $*"
apt update
apt install --yes --no-install-recommends "$@" >/dev/null || exit 2
