# Installed tools, kept outside the clone. Sourced by restore-tests/run.
#
# A tool's folder is named by what it is made of: the text of its install function, the folder lab/NAME if there is one, and the kind
# of machine. Changing a version there therefore installs anew, and nothing is ever updated in place.

cache="${HOURGLASS_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/hourglass}"
mkdir -p "$cache"

# tool NAME: where NAME is, or will be, installed.
tool() {
    local key
    key=$({
        declare -f "$1_install"
        uname -m
        [ ! -d "restore-tests/lab/$1" ] || find "restore-tests/lab/$1" -type f -print0 | LC_ALL=C sort --zero-terminated | xargs --null sha256sum
    } | sha256sum)
    echo "$cache/$1-${key:0:16}"
}

# installed NAME: calls NAME_install FOLDER once, also when several runs want it at the same time. The folder gets its
# name last, so an interrupted install leaves none.
installed() (
    folder=$(tool "$1")
    [ -e "$folder" ] && exit
    exec {lock}>"$cache/.$1.lock"
    flock "$lock"
    [ -e "$folder" ] && exit
    rm -rf "$cache/.$1".??????*
    part=$(mktemp -d "$cache/.$1.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    echo "installing $1"
    # The lock is not passed on: a process that outlives this one must not hold it. A step that fails ends the installation, which
    # bash forgets on the left of `||`.
    set +e
    (
        set -e
        "$1_install" "$part"
    ) >"$part.log" 2>&1 {lock}>&- </dev/null
    status=$?
    set -e
    ((status == 0)) || { tail -n 30 "$part.log" >&2; echo "$1 could not be installed" >&2; exit 1; }
    rm -f "$part.log"
    mv -T "$part" "$folder"
)
