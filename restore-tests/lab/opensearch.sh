# OpenSearch 3.8 from Maven Central, twice: region a and region b, one node each, with repositories of type fs, s3 and azure in the
# lab's object stores. It refuses to run as root, and needs Java 21. Sourced by restore-tests/run.
#
# The artefact has no security plugin, so a front (lab/front) adds TLS, a password and an API key.

opensearch_install() (
    version=3.8.0
    java_home 21
    maven "$1" dependency:copy -Dartifact="org.opensearch.distribution.integ-test-zip:opensearch:$version:zip" -DoutputDirectory="$1"
    unzip -q "$1/opensearch-$version.zip" -d "$1"
    mv "$1/opensearch-$version" "$1/server"
    rm "$1"/*.zip
    for plugin in s3:S3 azure:Azure; do
        kind=${plugin%:*} place="$1/server/plugins/repository-${plugin%:*}"
        mkdir -p "$place"
        maven_jars "$place" "org.opensearch.plugin:repository-$kind:$version"
        # The server refuses a plugin that brings what the server has.
        for jar in "$place"/lib/*.jar; do
            name=$(basename "$jar" | sed --regexp-extended 's/-[0-9][^-]*(\.Final|-jre)?(-[a-z0-9_-]+)?\.jar$//')
            case $name in opensearch-* | transport-netty4-client) continue ;; esac
            compgen -G "$1/server/lib/$name-[0-9]*.jar" >/dev/null || mv "$jar" "$place"
        done
        rm -r "$place/lib"
        cat >"$place/plugin-descriptor.properties" <<DESCRIPTOR
name=repository-$kind
description=repository-$kind
version=$version
opensearch.version=$version
java.version=21
classname=org.opensearch.repositories.$kind.${plugin#*:}RepositoryPlugin
custom.foldername=
extended.plugins=
has.native.controller=false
DESCRIPTOR
        cat >"$place/plugin-security.policy" <<'POLICY'
grant {
  permission java.lang.RuntimePermission "accessDeclaredMembers";
  permission java.lang.RuntimePermission "getClassLoader";
  permission java.lang.RuntimePermission "setContextClassLoader";
  permission java.lang.RuntimePermission "shutdownHooks";
  permission java.lang.RuntimePermission "accessClassInPackage.sun.net.www.protocol.https";
  permission java.lang.reflect.ReflectPermission "suppressAccessChecks";
  permission java.net.SocketPermission "*", "connect,resolve,accept";
  permission java.net.NetPermission "setDefaultAuthenticator";
  permission java.net.NetPermission "getProxySelector";
  permission java.util.PropertyPermission "*", "read,write";
  permission java.io.FilePermission "config", "read";
};
POLICY
    done
)

# opensearch_place SERVER PLACE HEAP: what a server finds in a place of its own.
opensearch_place() {
    mkdir -p "$2/config" "$2/tmp" "$2/logs"
    cp "$1/config/log4j2.properties" "$2/config/"
    sed "s#logs/gc.log#$2/logs/gc.log#; s#=logs/#=$2/logs/#; s#=data#=$2/data#; s#-Xm\([sx]\)1g#-Xm\1$3#" "$1/config/jvm.options" >"$2/config/jvm.options"
    # Short tests never win back what the second compiler costs.
    echo -XX:TieredStopAtLevel=1 >>"$2/config/jvm.options"
}

# opensearch_settings REGION PORT TRANSPORT_PORT
opensearch_settings() {
    cat <<SETTINGS
cluster.name: lab-$1
node.name: $1
network.host: 127.0.0.1
http.port: $2
transport.port: $3
discovery.type: single-node
path.data: $lab/opensearch/$1/data
path.logs: $lab/opensearch/$1/logs
path.repo: ["$lab/opensearch/repositories"]
cluster.routing.allocation.disk.threshold_enabled: false
node.store.allow_mmap: false
s3.client.default.endpoint: $HOURGLASS_LAB_S3_SEAWEEDFS
s3.client.default.protocol: http
s3.client.default.path_style_access: true
s3.client.default.region: us-east-1
s3.client.other.endpoint: $HOURGLASS_LAB_S3_VERSITYGW
s3.client.other.protocol: http
s3.client.other.path_style_access: true
s3.client.other.region: us-east-1
azure.client.default.endpoint_suffix: "ignored;DefaultEndpointsProtocol=http;BlobEndpoint=$HOURGLASS_LAB_AZURITE"
SETTINGS
}

opensearch_start() {
    local region place ports as=()
    read -ra ports < <(free_ports 6)
    mkdir -p "$lab/opensearch/repositories"
    # A copy, because whoever runs it may not look into the cache.
    cp -r "$(tool opensearch)/server" "$lab/opensearch/"
    printf '%s\n' "$HOURGLASS_LAB_S3_KEY" "$HOURGLASS_LAB_S3_SECRET" "$HOURGLASS_LAB_S3_KEY" "$HOURGLASS_LAB_S3_SECRET" \
        "$HOURGLASS_LAB_AZURITE_ACCOUNT" "$HOURGLASS_LAB_AZURITE_KEY" >"$lab/opensearch/secrets"
    export HOURGLASS_LAB_OPENSEARCH_REPOSITORIES="$lab/opensearch/repositories"
    export HOURGLASS_LAB_OPENSEARCH_USER=lab HOURGLASS_LAB_OPENSEARCH_PASSWORD HOURGLASS_LAB_OPENSEARCH_API_KEY
    HOURGLASS_LAB_OPENSEARCH_PASSWORD=$(random 16) HOURGLASS_LAB_OPENSEARCH_API_KEY=$(random 24)
    for region in a b; do
        place="$lab/opensearch/$region"
        opensearch_place "$lab/opensearch/server" "$place" 512m
    done
    opensearch_settings a "${ports[0]}" "${ports[1]}" >"$lab/opensearch/a/config/opensearch.yml"
    opensearch_settings b "${ports[2]}" "${ports[3]}" >"$lab/opensearch/b/config/opensearch.yml"
    if ((EUID == 0)); then
        chown -R nobody "$lab/opensearch"
        as=(setpriv --reuid nobody --regid nogroup --clear-groups --pdeathsig KILL)
    fi
    opensearch_region a "${ports[0]}" "${ports[4]}" "${as[@]}"
    opensearch_region b "${ports[2]}" "${ports[5]}" "${as[@]}"
}

# opensearch_region REGION PORT FRONT_PORT AS...: starts the server, which first makes its store of secrets, and its front.
opensearch_region() {
    local place="$lab/opensearch/$1"
    export "HOURGLASS_LAB_OPENSEARCH_${1^^}=http://127.0.0.1:$2" "HOURGLASS_LAB_OPENSEARCH_${1^^}_TLS=https://127.0.0.1:$3"
    # shellcheck disable=SC2016
    node "opensearch-$1" opensearch_answers "$2" -- "${@:4}" env --chdir=/ HOME="$place" OPENSEARCH_TMPDIR="$place/tmp" OPENSEARCH_PATH_CONF="$place/config" \
        OPENSEARCH_JAVA_HOME="$(java_home 21)" bash -euc 'cd "$1"
            [ -e "$OPENSEARCH_PATH_CONF/opensearch.keystore" ] || bin/opensearch-keystore add --force --stdin s3.client.default.access_key s3.client.default.secret_key \
                s3.client.other.access_key s3.client.other.secret_key azure.client.default.account azure.client.default.key <"$1/../secrets"
            exec bin/opensearch' bash "$lab/opensearch/server"
    service "opensearch-$1-front" KILL restore-tests/lab/front "$3" "$2"
}

opensearch_answers() { curl --silent --fail --max-time 5 "http://127.0.0.1:$1/_cluster/health?wait_for_status=yellow&timeout=1s"; }

opensearch_ready() {
    local region url
    for region in a b; do
        node_ready "opensearch-$region" 600
        url=HOURGLASS_LAB_OPENSEARCH_${region^^}_TLS
        ready "opensearch-$region-front" 30 curl --silent --fail --cacert "$lab/tls/ca.crt" --header "Authorization: ApiKey $HOURGLASS_LAB_OPENSEARCH_API_KEY" "${!url}"
    done
}
