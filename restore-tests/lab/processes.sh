# Processes that a run starts, each the head of its own process group, and stops again. Sourced by restore-tests/run.

declare -A stop_signal=() service_pid=()

# launch SIGNAL COMMAND...: starts it in the background as process group $launched; SIGNAL asks it to end.
launch() {
    local signal=$1
    shift
    set -m # gives the job a process group of its own
    "$@" </dev/null &
    set +m
    launched=$!
    stop_signal[$launched]=$signal
}

# foreground COMMAND...: runs it so that a signal to this script ends it at once, and returns its status.
foreground() {
    if [ -t 0 ]; then
        "$@"
        return
    fi
    set -m
    "$@" <&0 &
    set +m
    local child=$! status=0
    stop_signal[$child]=TERM
    wait "$child" || status=$?
    unset "stop_signal[$child]"
    return "$status"
}

# service NAME SIGNAL COMMAND...: launches a service; its output goes to a log. It dies with this script, however that ends.
service() {
    local name=$1 signal=$2
    shift 2
    launch "$signal" setpriv --pdeathsig KILL -- "$@" >"$lab/$name.log" 2>&1
    service_pid[$name]=$launched
}

# node NAME READY... -- COMMAND...: launches a server that tests may end and start again with restore-tests/lab/node. READY is
# the function, with its arguments, that succeeds when the server answers.
node() {
    local name=$1 answers=()
    shift
    while [ "$1" != -- ]; do
        answers+=("$1")
        shift
    done
    shift
    mkdir -p "$HOURGLASS_LAB_NODES/$name"
    {
        printf '#!/bin/bash\nset -euo pipefail\nlab=%q\n' "$lab"
        declare -f "${answers[0]}"
        printf '%q ' "${answers[@]}"
    } >"$HOURGLASS_LAB_NODES/$name/ready"
    chmod +x "$HOURGLASS_LAB_NODES/$name/ready"
    # Data of the lab are thrown away, so nothing need end in order.
    service "$name" KILL restore-tests/lab/node run "$name" "$@"
}

# node_ready NAME SECONDS: waits until a node answers.
node_ready() { ready "$1" "$2" "$HOURGLASS_LAB_NODES/$1/ready"; }

# ready NAME SECONDS COMMAND...: waits until COMMAND succeeds; shows the end of the log if it does not, or if the service ended.
ready() {
    local name=$1 limit=$((SECONDS + $2)) pid=${service_pid[$1]} pause=0.05
    shift 2
    until "$@" >"$lab/$name.ready.log" 2>&1; do
        if ! kill -0 "$pid" 2>/dev/null || ((SECONDS > limit)); then
            tail -n 30 "$lab/$name.log" "$lab/$name.ready.log" >&2
            echo "$name did not start" >&2
            exit 1
        fi
        sleep "$pause"
        # To ask costs a process, which what is waited for does without.
        case $pause in 0.05) pause=0.2 ;; 0.2) pause=0.5 ;; 0.5) pause=1 ;; esac
    done
}

# stop_all: asks everything that still runs to end, waits three seconds, then kills.
stop_all() {
    local pid limit=$((SECONDS + 3))
    {
        for pid in "${!stop_signal[@]}"; do kill -s "${stop_signal[$pid]}" -- "-$pid" || true; done
        for pid in "${!stop_signal[@]}"; do
            while kill -0 -- "-$pid" && ((SECONDS <= limit)); do sleep 0.05; done
            kill -s KILL -- "-$pid" || true
            wait "$pid" || true
        done
    } 2>/dev/null # where the shell reports jobs that were killed
    stop_signal=()
}

# free_ports COUNT: prints free loopback ports. All are held at once while choosing, so none repeats. They lie below those that the system gives to
# whoever asks for any port, and are drawn at random: who chooses at the same moment hardly draws the same.
free_ports() {
    perl -MIO::Socket::INET -e '
        my ($count, @held) = shift;
        for (1 .. 1000) {
            last if @held == $count;
            my $port = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 10000 + int rand 20000, Listen => 1);
            push @held, $port if $port;
        }
        @held == $count or die "no free ports";
        print join(" ", map { $_->sockport } @held), "\n"' "$1"
}

# random BYTES: random hexadecimal digits.
random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

# answers URL: whether an HTTP server answers there with anything but an error of its own.
answers() {
    local status
    status=$(curl --silent --max-time 5 --output /dev/null --write-out '%{http_code}' "$1") && ((status >= 200 && status < 500))
}
