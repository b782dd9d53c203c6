# The API of Amazon's registries, emulated by moto. Tests put restore-tests/lab/ecr-front before it and a registry. Sourced by restore-tests/run.

ecr_install() {
    python3 -m pip install --no-cache-dir --target "$1" moto==5.2.5 flask==3.1.3 flask-cors==6.0.5
}

ecr_start() {
    local port
    read -r port < <(free_ports 1)
    export HOURGLASS_LAB_ECR="127.0.0.1:$port"
    service ecr TERM env PYTHONPATH="$(tool ecr)" python3 -m moto.server -H 127.0.0.1 -p "$port"
}

ecr_ready() { ready ecr 120 answers "http://$HOURGLASS_LAB_ECR/moto-api/"; }
