# Authority, certificates, tokens and kubeconfigs of a Kubernetes API server, in the current folder. Sourced by restore-tests/lab/control-plane
# and restore-tests/lab/region.

# pki_authority NAME
pki_authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.crt" -days 30 -subj "/CN=$1" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
}

# pki_leaf NAME SUBJECT AUTHORITY USAGE [ALTERNATIVE_NAMES]: USAGE is serverAuth or clientAuth.
pki_leaf() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2"
    openssl x509 -req -in "$1.csr" -CA "$3.crt" -CAkey "$3.key" -CAcreateserial -days 30 -out "$1.crt" \
        -extfile <(printf 'extendedKeyUsage=%s\nkeyUsage=digitalSignature\n%s\n' "$4" "${5:+subjectAltName=$5}")
    rm "$1.csr"
}

# pki_service_accounts: the key pair of their tokens.
pki_service_accounts() {
    openssl genrsa -out accounts.key 2048
    openssl rsa -in accounts.key -pubout -out accounts.pub
}

# pki_user URL NAME USER GROUP: a token for USER in tokens.csv, and NAME.kubeconfig with it.
pki_user() {
    local token
    token=$(random 16)
    printf '%s,%s,%s,"%s"\n' "$token" "$3" "$2" "$4" >>tokens.csv
    cat >"$2.kubeconfig" <<CONFIG
apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "$1", certificate-authority-data: $(base64 --wrap 0 ca.crt)}}]
users: [{name: lab, user: {token: "$token"}}]
contexts: [{name: lab, context: {cluster: lab, user: lab}}]
current-context: lab
CONFIG
}
