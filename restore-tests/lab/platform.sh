# The API platform of the tests (restore-tests/lab/platform), its images, and what the databases of its regions are made of. Sourced by
# restore-tests/run.

# Its own module beside that of Kubernetes, which takes minutes to build.
platform_install() (
    cd restore-tests/lab/platform
    CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS='-modcacherw -buildvcs=false' go build -trimpath -ldflags '-s -w' -o "$1/lab-api"
)

# Nothing runs: tests start regions of their own. The images lie beside those of restore-tests/lab/kubernetes.sh, for tests to push.
platform_start() {
    local role
    export HOURGLASS_LAB_DATABASES_USER=lab HOURGLASS_LAB_DATABASES_PASSWORD HOURGLASS_LAB_JAVA HOURGLASS_LAB_CASSANDRA_JARS HOURGLASS_LAB_CQLSH
    export HOURGLASS_LAB_MARIADB_EMPTY="$lab/mariadb-empty" HOURGLASS_LAB_OPENSEARCH_KEYSTORE="$lab/platform-opensearch/opensearch.keystore"
    export HOURGLASS_LAB_OPENSEARCH_SERVER HOURGLASS_LAB_OPENSEARCH_JAVA
    HOURGLASS_LAB_OPENSEARCH_SERVER=$(tool opensearch)/server HOURGLASS_LAB_OPENSEARCH_JAVA=$(java_home 21)
    HOURGLASS_LAB_DATABASES_PASSWORD=$(random 16) HOURGLASS_LAB_JAVA=$(java_home 17)
    HOURGLASS_LAB_CASSANDRA_JARS=$(tool cassandra5)/lib HOURGLASS_LAB_CQLSH=$(tool cqlsh)
    {
        mariadb-install-db --no-defaults --user=root --auth-root-authentication-method=normal --skip-test-db --datadir="$HOURGLASS_LAB_MARIADB_EMPTY" \
            --innodb-use-native-aio=OFF
        # To make one takes a machine that runs Java, so all regions get a copy.
        mkdir "$lab/platform-opensearch"
        printf '%s\n' "$HOURGLASS_LAB_S3_KEY" "$HOURGLASS_LAB_S3_SECRET" |
            OPENSEARCH_PATH_CONF="$lab/platform-opensearch" OPENSEARCH_JAVA_HOME="$HOURGLASS_LAB_OPENSEARCH_JAVA" \
                "$HOURGLASS_LAB_OPENSEARCH_SERVER/bin/opensearch-keystore" add --force --stdin s3.client.default.access_key s3.client.default.secret_key
        for role in admin manager gateway portal; do platform_image "$role"; done
    } >"$lab/platform.log" 2>&1 || { tail "$lab/platform.log" >&2; exit 1; }
}

# platform_image ROLE: they share all bytes but the command.
platform_image() {
    local command='["/bin/lab-api", "'$1'"]'
    [ "$1" != portal ] || command='["/bin/lab-api", "portal", "/files"]'
    restore-tests/lab/image "$lab/images/platform-$1" 1 "$command" dir:/bin "$(tool platform)/lab-api:/bin/lab-api"
}

platform_ready() { :; }
