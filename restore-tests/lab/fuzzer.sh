# The fuzzer that restore-tests/fuzz/run uses. Sourced by it.

cargo_fuzz_install() {
    CARGO_TARGET_DIR="$1/target" cargo install --locked --root "$1" --version 0.13.1 cargo-fuzz
    rm -rf "$1/target"
}
