# The tools that restore-tests/bench compares with: restic, rustic and DSBulk here, borg from Debian, cqlsh of the lab.

# Its own module instead of `go install`: that asks for a list of versions, which not every proxy gives.
restic_install() (
    cd "$(mktemp -d "$1/source.XXXXXX")"
    printf 'module peers\n\ngo 1.24\n\nrequire github.com/restic/restic v0.18.1\n' >go.mod
    export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS='-modcacherw -buildvcs=false'
    go build -mod=mod -trimpath -ldflags='-s -w' -o "$1/restic" github.com/restic/restic/cmd/restic
    rm -rf "$1"/source.*
)

rustic_install() {
    CARGO_TARGET_DIR="$1/target" cargo install --locked --root "$1" --version 0.11.4 rustic-rs
    rm -rf "$1/target"
}

# Its distribution is not to be had whole; these are its parts.
dsbulk_install() {
    local part parts=()
    for part in runner workflow-load workflow-unload connectors-csv batcher-reactor executor-reactor codecs-text codecs-jdk; do
        parts+=("com.datastax.oss:dsbulk-$part:1.10.0")
    done
    maven_jars "$1" "${parts[@]}" ch.qos.logback:logback-classic:1.2.13
}
