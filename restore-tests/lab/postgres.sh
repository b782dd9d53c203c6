# PostgreSQL 15, from Debian. It refuses to run as root.

postgres_start() {
    local port data="$lab/postgres" bin=/usr/lib/postgresql/15/bin as=()
    port=$(free_ports 1)
    export HOURGLASS_LAB_PGPASSWORD HOURGLASS_LAB_POSTGRES="postgresql://lab@127.0.0.1:$port/postgres"
    HOURGLASS_LAB_PGPASSWORD=$(random 16)
    mkdir "$data"
    echo "$HOURGLASS_LAB_PGPASSWORD" >"$data/password"
    if ((EUID == 0)); then
        chown -R nobody "$data"
        as=(setpriv --reuid nobody --regid nogroup --clear-groups --reset-env --pdeathsig INT)
    fi
    (cd / && "${as[@]}" "$bin/initdb" --pgdata="$data/data" --username=lab --auth=scram-sha-256 --pwfile="$data/password" \
        --encoding=UTF8 --locale=C.UTF-8 --data-checksums --no-sync) >"$lab/initdb.log" 2>&1 || { tail "$lab/initdb.log" >&2; exit 1; }
    # INT is a fast shutdown. A change of user forgets the death signal, so it is set again.
    service postgres INT "${as[@]}" "$bin/postgres" -D "$data/data" -c listen_addresses=127.0.0.1 -c port="$port" \
        -c unix_socket_directories="$data" -c wal_level=logical -c fsync=off
}

postgres_ready() { ready postgres 30 /usr/lib/postgresql/15/bin/pg_isready --quiet --dbname="$HOURGLASS_LAB_POSTGRES"; }
