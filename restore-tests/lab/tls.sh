# The lab's certificate authority and its certificates, RSA because Cassandra 2.2's own cipher suites know nothing else.
# Sourced by restore-tests/run.

# tls_start: chooses the loopback network of servers that need an address each, $lab_net, and makes the authority and what servers and clients show. Each is NAME.crt and NAME.key in $lab/tls:
# `server` is good for 127.0.0.1 and $lab_net.1 to .9; `client` is what clients show; `expired` is a client's and a server's, out of date since
# yesterday; `rogue` is a client's and a server's of an authority that nobody trusts, `rogue-ca`.
tls_start() {
    lab_net="127.$((20 + RANDOM % 200)).$((RANDOM % 250))"
    set -- 127.0.0.1 "$lab_net".{1..9}
    export HOURGLASS_LAB_TLS="$lab/tls"
    mkdir "$lab/tls"
    {
        tls_authority ca
        tls_authority rogue-ca
        restore-tests/lab/certificate "$lab/tls/server" "$@"
        restore-tests/lab/certificate "$lab/tls/client"
        restore-tests/lab/certificate --expired "$lab/tls/expired" "$@"
        restore-tests/lab/certificate --authority rogue-ca "$lab/tls/rogue" "$@"
    } >"$lab/tls.log" 2>&1 || { tail "$lab/tls.log" >&2; exit 1; }
    # Servers that do not run as root read them too.
    chmod -R a+rX "$lab/tls"
}

tls_authority() {
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$lab/tls/$1.key" -out "$lab/tls/$1.crt" -days 30 -subj "/CN=$1" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}
