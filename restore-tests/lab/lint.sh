# Checks of the code and of what it depends on. Sourced by restore-tests/run.

# licences: fails if a dependency that goes into a Linux binary has a licence that lab/licences.txt does not allow.
#
# Advisories are not checked here: their data base is a Git repository, and the machines that run these tests reach package
# registries only. Where it can be reached, `cargo audit` and `cargo deny check advisories` read our Cargo.lock as it is.
licences() {
    local allowed=' ' licence package expression token value bad=0 seen=0
    while read -r licence; do allowed+="$licence "; done < <(grep --invert-match '^#' restore-tests/lab/licences.txt)
    while IFS=$'\t' read -r package expression; do
        # An SPDX expression becomes arithmetic: 1 for what is allowed, 0 for what is not. "A/B" is an old form of "A OR B", and
        # an exception only ever adds rights.
        expression=${expression//\// OR }
        expression=$(sed --regexp-extended 's/ WITH [^ ()]+//g; s/([()])/ \1 /g' <<<"$expression")
        value= seen=$((seen + 1))
        for token in $expression; do
            case $token in
                OR) value+=' || ' ;;
                AND) value+=' && ' ;;
                '(' | ')') value+=$token ;;
                *) [[ $allowed == *" $token "* ]] && value+=1 || value+=0 ;;
            esac
        done
        if (( !(${value:-0}) )); then
            echo "$package: licence '$expression' is not allowed" >&2
            bad=1
        fi
    done < <(cargo metadata --locked --features openssl --format-version 1 --filter-platform x86_64-unknown-linux-gnu --filter-platform aarch64-unknown-linux-gnu |
        jq --raw-output '.packages[] | "\(.name) \(.version)\t\(.license // "none")"')
    ((seen > 100)) || { echo "only $seen dependencies were found" >&2; bad=1; }
    return "$bad"
}

# Its status is asked for, and there `set -e` does not hold. The second clippy is of what most people build; its TLS is other code.
lint() {
    cargo fmt --check &&
        cargo clippy --locked --features openssl --all-targets -- -D warnings &&
        cargo clippy --locked --lib -- -D warnings &&
        licences
}
