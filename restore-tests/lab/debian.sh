# Debian packages that the tests and services need. Sourced by restore-tests/run.

debian_packages=(
    acl age attr chromium conntrack curl iproute2 iptables jq libaio1 mariadb-client-core mariadb-server-core maven minisign openjdk-17-jre-headless openssl
    perl-base postgresql-15 postgresql-client-15 procps prometheus prometheus-pushgateway skopeo unzip util-linux zstd)

# What the compiler needs, before anything is built: OpenSSL, for Cassandra 2.2.
build_packages=(libssl-dev pkg-config)

# debian_install PACKAGE...: installs those that are missing.
debian_install() (
    missing=()
    for package in "$@"; do
        [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    ((${#missing[@]})) || exit 0
    ((EUID == 0)) || { echo "please install: ${missing[*]}" >&2; exit 1; }
    exec {lock}>"$cache/.debian.lock"
    flock "$lock"
    echo "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    if [ ! -e /etc/postgresql-common ]; then
        # Otherwise the package makes and starts a database that nobody asked for.
        mkdir /etc/postgresql-common
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    fi
    {
        apt-get update
        apt-get install --yes --no-install-recommends --option Dpkg::Options::=--force-confold --option DPkg::Lock::Timeout=300 "${missing[@]}"
    } >"$cache/debian.log" 2>&1 {lock}>&- </dev/null || { tail -n 30 "$cache/debian.log" >&2; exit 1; }
)
