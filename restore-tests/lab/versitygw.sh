# versitygw: an S3 server of another make. What differs between the two differs between clouds.

versitygw_install() {
    GOBIN="$1" CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-modcacherw \
        go install -trimpath -ldflags='-s -w' github.com/versity/versitygw/cmd/versitygw@v1.8.0
}

versitygw_start() {
    local port
    port=$(free_ports 1)
    mkdir "$lab/versitygw" "$lab/versitygw/data" "$lab/versitygw/versions"
    export HOURGLASS_LAB_S3_VERSITYGW="http://127.0.0.1:$port" HOURGLASS_LAB_VERSITYGW_PROGRAM="$(tool versitygw)/versitygw"
    # Object lock needs versions.
    service versitygw TERM env ROOT_ACCESS_KEY="$HOURGLASS_LAB_S3_KEY" ROOT_SECRET_KEY="$HOURGLASS_LAB_S3_SECRET" \
        "$HOURGLASS_LAB_VERSITYGW_PROGRAM" --port "127.0.0.1:$port" --region us-east-1 --quiet --health /health \
        posix --versioning-dir "$lab/versitygw/versions" "$lab/versitygw/data"
}

versitygw_ready() { ready versitygw 30 curl --silent --fail "$HOURGLASS_LAB_S3_VERSITYGW/health"; }
