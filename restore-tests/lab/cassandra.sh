# Cassandra from Maven Central: 5.0 with three nodes (datacentre dc1), 5.0 with one node (dr1, an empty target), and 2.2.12 with
# one node and its own cipher suites, which are CBC only. All want a client certificate and a password; 5.0 also encrypts
# between nodes. Sourced by restore-tests/run.

cassandra5_install() { maven_jars "$1" org.apache.cassandra:cassandra-all:5.0.9; }

# Its POM forgets airline, which nodetool needs, and the driver, which functions need.
cassandra2_install() {
    maven_jars "$1" org.apache.cassandra:cassandra-all:2.2.12 io.airlift:airline:0.6 - com.datastax.cassandra:cassandra-driver-core:2.2.0-rc1
}

# cqlsh and the driver that it uses, for tests that judge without our own code.
cqlsh_install() { python3 -m pip install --no-cache-dir --target "$1" cqlsh==6.2.2 cassandra-driver==3.30.1; }

# Java 17 hides what Cassandra uses; this is its own list.
cassandra5_java() {
    local what
    for what in java.base/jdk.internal.misc java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry \
        java.rmi/sun.rmi.server java.sql/java.sql java.base/java.lang.ref jdk.unsupported/sun.misc jdk.compiler/com.sun.tools.javac.file \
        jdk.attach/sun.tools.attach; do echo "--add-exports=$what=ALL-UNNAMED"; done
    for what in java.lang.module jdk.internal.loader jdk.internal.ref jdk.internal.reflect jdk.internal.math jdk.internal.module \
        jdk.internal.util.jar sun.nio.ch java.io java.lang.reflect java.lang java.util java.nio; do echo "--add-opens=java.base/$what=ALL-UNNAMED"; done
    printf '%s\n' --add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED --add-opens=jdk.compiler/com.sun.tools.javac=ALL-UNNAMED \
        -Djdk.attach.allowAttachSelf=true -Dio.netty.tryReflectionSetAccessible=true
}

# cassandra_settings CLUSTER NODE ADDRESS SEEDS: what both versions are told.
cassandra_settings() {
    local place="$lab/$2"
    cat <<SETTINGS
cluster_name: $1
num_tokens: 16
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
data_file_directories: [$place/data]
commitlog_directory: $place/commitlog
saved_caches_directory: $place/saved_caches
commitlog_sync: periodic
listen_address: $3
rpc_address: $3
storage_port: ${cassandra_ports[1]}
ssl_storage_port: ${cassandra_ports[2]}
native_transport_port: ${cassandra_ports[0]}
endpoint_snitch: GossipingPropertyFileSnitch
auto_bootstrap: false
auto_snapshot: false
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
role_manager: CassandraRoleManager
seed_provider:
 - class_name: org.apache.cassandra.locator.SimpleSeedProvider
   parameters:
   - seeds: "$4"
SETTINGS
}

cassandra5_settings() {
    cat <<SETTINGS
commitlog_sync_period: 10000ms
hints_directory: $lab/$1/hints
cdc_raw_directory: $lab/$1/cdc_raw
materialized_views_enabled: true
sasi_indexes_enabled: true
user_defined_functions_enabled: true
dynamic_data_masking_enabled: true
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  ssl_context_factory: {class_name: org.apache.cassandra.security.PEMBasedSslContextFactory}
  keystore: $lab/$1/server.pem
  truststore: $lab/$1/ca.crt
server_encryption_options:
  internode_encryption: all
  optional: false
  require_client_auth: true
  ssl_context_factory: {class_name: org.apache.cassandra.security.PEMBasedSslContextFactory}
  keystore: $lab/$1/server.pem
  truststore: $lab/$1/ca.crt
SETTINGS
}

cassandra2_settings() {
    cat <<SETTINGS
commitlog_sync_period_in_ms: 10000
start_native_transport: true
start_rpc: false
enable_user_defined_functions: true
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  keystore: $lab/$1/server.p12
  keystore_password: laboratory
  truststore: $lab/$1/trust.p12
  truststore_password: laboratory
  store_type: PKCS12
SETTINGS
}

# cassandra_log: everything to standard output.
cassandra_log() {
    cat <<'LOG'
<configuration><appender name="OUT" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%-5level %date{ISO8601} %F:%L - %.-400msg%n</pattern></encoder></appender>
<root level="INFO"><appender-ref ref="OUT"/></root></configuration>
LOG
}

# cassandra_node VERSION CLUSTER DATACENTRE ADDRESS SEEDS NODE: starts one.
cassandra_node() {
    local version=$1 node=$6 place="$lab/$6" java options=() given jars jmx
    mkdir -p "$place/conf" "$place/tmp"
    jars=$(tool "$version")/lib
    # A copy for each node, so that a test may exchange one node's certificate and start it again.
    cp "$lab/tls/server.pem" "$lab/tls/ca.crt" "$place"
    { cassandra_settings "$2" "$node" "$4" "$5"; "${version}_settings" "$node"; } >"$place/conf/cassandra.yaml"
    printf 'dc=%s\nrack=r1\n' "$3" >"$place/conf/cassandra-rackdc.properties"
    cassandra_log >"$place/conf/logback.xml"
    if [ "$version" = cassandra2 ]; then
        java=$(tool jdk8)/jre
        cassandra2_keystores "$place"
    else
        java=$(java_home 17)
        mapfile -t options < <(cassandra5_java)
    fi
    jmx=$(free_ports 1)
    # Short tests never win back what the second compiler costs; a race may ask for another heap and both compilers.
    read -ra given <<<"${HOURGLASS_CASSANDRA_JAVA:--Xms512m -Xmx512m -XX:TieredStopAtLevel=1}"
    # The delays are meant for networks that take long to meet.
    options+=("${given[@]}" -XX:+UseSerialGC -XX:-UsePerfData -XX:+ExitOnOutOfMemoryError
        "-javaagent:$(echo "$jars"/jamm-*.jar)" "-Djava.io.tmpdir=$place/tmp" "-Dcassandra.config=file://$place/conf/cassandra.yaml" "-Dcassandra.storagedir=$place/data"
        "-Dcassandra.logdir=$place" "-Dlogback.configurationFile=$place/conf/logback.xml" -Dcassandra-foreground=yes "-Dcassandra.jmx.local.port=$jmx"
        -Dcassandra.ring_delay_ms=3000 -Dcassandra.superuser_setup_delay_ms=1000 -Dcassandra.skip_wait_for_gossip_to_settle=0
        -Djava.net.preferIPv4Stack=true -Djna.nosys=true -cp "$place/conf:$jars/*" org.apache.cassandra.service.CassandraDaemon)
    node "$node" cassandra_answers "${4}" "${cassandra_ports[0]}" -- "$java/bin/java" "${options[@]}"
}

# An early Java 8 reads old algorithms only, and a trust store must be made by Java.
cassandra2_keystores() {
    openssl pkcs12 -export -inkey "$lab/tls/server.key" -in "$lab/tls/server.crt" -certfile "$lab/tls/ca.crt" -name node -passout pass:laboratory \
        -out "$1/server.p12" -certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1
    "$(java_home 17)/bin/keytool" -J-Dkeystore.pkcs12.legacy=true -importcert -noprompt -alias ca -file "$lab/tls/ca.crt" -keystore "$1/trust.p12" \
        -storetype PKCS12 -storepass laboratory 2>/dev/null
}

# cassandra_answers ADDRESS PORT [ARG...]: asks before Python is started, which takes long, whether anything listens.
cassandra_answers() {
    (: <"/dev/tcp/$1/$2") && restore-tests/lab/cql "$1" "${@:3}" 'select release_version, data_center from system.local'
}

cassandra_start() {
    local seeds number
    export HOURGLASS_LAB_CASSANDRA_USER=lab HOURGLASS_LAB_CASSANDRA_PASSWORD HOURGLASS_LAB_CASSANDRA_PORT HOURGLASS_LAB_CQLSH
    export HOURGLASS_LAB_CASSANDRA5="$lab_net.1,$lab_net.2,$lab_net.3" HOURGLASS_LAB_CASSANDRA_DR="$lab_net.4" HOURGLASS_LAB_CASSANDRA2="$lab_net.5"
    HOURGLASS_LAB_CASSANDRA_PASSWORD=$(random 16) HOURGLASS_LAB_CQLSH=$(tool cqlsh)
    read -ra cassandra_ports < <(free_ports 3)
    HOURGLASS_LAB_CASSANDRA_PORT=${cassandra_ports[0]}
    cassandra_node cassandra2 lab-c dc1 "$lab_net.5" "$lab_net.5" cassandra2-1
    cassandra_node cassandra5 lab-b dr1 "$lab_net.4" "$lab_net.4" cassandra-dr-1
    # All are seeds, so they start together.
    seeds=$HOURGLASS_LAB_CASSANDRA5
    for number in 1 2 3; do cassandra_node cassandra5 lab-a dc1 "$lab_net.$number" "$seeds" "cassandra5-$number"; done
}

# The administrator's role is made in every cluster as soon as its nodes know each other.
cassandra_ready() {
    local node
    ready cassandra2-1 600 cassandra_answers "$lab_net.5" "$HOURGLASS_LAB_CASSANDRA_PORT" --prepare 1
    ready cassandra-dr-1 600 cassandra_answers "$lab_net.4" "$HOURGLASS_LAB_CASSANDRA_PORT" --prepare 1
    ready cassandra5-1 600 cassandra_answers "$lab_net.1" "$HOURGLASS_LAB_CASSANDRA_PORT" --prepare 3
    for node in cassandra5-{1,2,3}; do node_ready "$node" 600; done
}
