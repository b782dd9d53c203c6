# What the platform of the tests finds in a region, with the variables and functions of restore-tests/lab/region-init, which sources this: databases
# beside the cluster, as vendors have them (one node each of Cassandra, OpenSearch and MariaDB, as processes of the region, on its address and their usual
# ports), a pool of nodes and a storage class. All but OpenSearch show a certificate of the lab's authority, and Cassandra asks for one; the administrator of both is
# HOURGLASS_LAB_DATABASES_USER.

platform_start() {
    local java=$HOURGLASS_LAB_JAVA jars=$HOURGLASS_LAB_CASSANDRA_JARS options lab=$folder cassandra_ports=(9042 7000 7001)
    # cassandra_settings reads what is set here.
    source "$here/cassandra.sh"
    mkdir -p cassandra/conf cassandra/tmp mariadb
    "$here/certificate" pki/databases "$address" "cassandra.region-$name.test" "mysql.region-$name.test" >log/pki-databases 2>&1
    cp pki/databases.pem cassandra/server.pem
    cp "$HOURGLASS_LAB_TLS/ca.crt" cassandra/ca.crt
    { cassandra_settings "lab-$name" cassandra "$address" "$address"; cassandra5_settings cassandra; } >cassandra/conf/cassandra.yaml
    printf 'dc=region-%s\nrack=r1\n' "$name" >cassandra/conf/cassandra-rackdc.properties
    cassandra_log >cassandra/conf/logback.xml
    mapfile -t options < <(cassandra5_java)
    start cassandra "$java/bin/java" "${options[@]}" -Xms384m -Xmx384m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -XX:+ExitOnOutOfMemoryError \
        "-javaagent:$(echo "$jars"/jamm-*.jar)" "-Djava.io.tmpdir=$folder/cassandra/tmp" "-Dcassandra.config=file://$folder/cassandra/conf/cassandra.yaml" \
        "-Dcassandra.storagedir=$folder/cassandra/data" "-Dcassandra.logdir=$folder/cassandra" "-Dlogback.configurationFile=$folder/cassandra/conf/logback.xml" \
        -Dcassandra-foreground=yes -Dcassandra.jmx.local.port=7199 -Dcassandra.ring_delay_ms=1000 -Dcassandra.superuser_setup_delay_ms=1000 \
        -Dcassandra.skip_wait_for_gossip_to_settle=0 -Djava.net.preferIPv4Stack=true -Djna.nosys=true \
        -cp "$folder/cassandra/conf:$jars/*" org.apache.cassandra.service.CassandraDaemon
    region_opensearch_start
    cat >mariadb/my.cnf <<SETTINGS
[mysqld]
datadir=$folder/mariadb/data
socket=$folder/mariadb/socket
pid_file=$folder/mariadb/pid
init_file=$folder/mariadb/admin.sql
bind_address=$address
skip_name_resolve=ON
server_id=1
log_bin=binlog
binlog_format=ROW
local_infile=ON
innodb_buffer_pool_size=64M
innodb_use_native_aio=OFF
require_secure_transport=ON
ssl_ca=$HOURGLASS_LAB_TLS/ca.crt
ssl_cert=$folder/pki/databases.crt
ssl_key=$folder/pki/databases.key
SETTINGS
    cat >mariadb/admin.sql <<SQL
set sql_log_bin = 0;
create user if not exists $HOURGLASS_LAB_DATABASES_USER@'%' identified by '$HOURGLASS_LAB_DATABASES_PASSWORD';
grant all on *.* to $HOURGLASS_LAB_DATABASES_USER@'%' with grant option;
SQL
    # Volumes whose folder is named after their claim.
    cat >files-class.yaml <<OBJECT
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: files-$name}
provisioner: rancher.io/local-path
parameters: {pathPattern: "{{ .PVC.Namespace }}/{{ .PVC.Name }}"}
reclaimPolicy: Delete
volumeBindingMode: WaitForFirstConsumer
OBJECT
    cp -r "$HOURGLASS_LAB_MARIADB_EMPTY" mariadb/data
    start mariadb mariadbd --defaults-file=mariadb/my.cnf --user=root
}

platform_ready() {
    until_ready kubectl label node "$node" "agentpool=pool-$name"
    until_ready kubectl apply --server-side --filename files-class.yaml
    until_ready region_mariadb_answers
    until_ready region_cassandra_answers
    until_ready curl --silent --fail --max-time 5 "http://$address:9200/_cluster/health?wait_for_status=yellow&timeout=1s"
}

# As nobody, because it refuses to run as root. Nobody may look into our folders, so the server and its place are seen elsewhere, too.
region_opensearch_start() {
    local server=/run/opensearch-server place=/run/opensearch
    source "$here/opensearch.sh"
    mkdir -p opensearch "$server" "$place"
    mount --bind "$HOURGLASS_LAB_OPENSEARCH_SERVER" "$server"
    mount --bind opensearch "$place"
    opensearch_place "$server" "$place" 256m
    cp "$HOURGLASS_LAB_OPENSEARCH_KEYSTORE" "$place/config/opensearch.keystore"
    cat >"$place/config/opensearch.yml" <<SETTINGS
cluster.name: lab-$name
node.name: $name
network.host: $address
discovery.type: single-node
path.data: $place/data
path.logs: $place/logs
cluster.routing.allocation.disk.threshold_enabled: false
node.store.allow_mmap: false
SETTINGS
    chown -R nobody opensearch
    start opensearch setpriv --reuid nobody --regid nogroup --clear-groups env --chdir="$server" HOME="$place" OPENSEARCH_TMPDIR="$place/tmp" \
        OPENSEARCH_PATH_CONF="$place/config" OPENSEARCH_JAVA_HOME="$HOURGLASS_LAB_OPENSEARCH_JAVA" bin/opensearch
}

region_mariadb_answers() {
    MYSQL_PWD=$HOURGLASS_LAB_DATABASES_PASSWORD mariadb --no-defaults --host="$address" --user="$HOURGLASS_LAB_DATABASES_USER" \
        --ssl-ca="$HOURGLASS_LAB_TLS/ca.crt" --ssl-verify-server-cert --execute='select 1'
}

# Makes the administrator's role once the node answers.
region_cassandra_answers() {
    (: <"/dev/tcp/$address/9042") && HOURGLASS_LAB_CASSANDRA_PORT=9042 HOURGLASS_LAB_CASSANDRA_USER=$HOURGLASS_LAB_DATABASES_USER \
        HOURGLASS_LAB_CASSANDRA_PASSWORD=$HOURGLASS_LAB_DATABASES_PASSWORD "$here/cql" "$address" --prepare 1
}
