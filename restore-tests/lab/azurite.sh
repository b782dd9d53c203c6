# Azurite: Azure Blob. It takes immutability headers and does not enforce them.

azurite_install() { npm install --prefix "$1" --no-audit --no-fund --ignore-scripts azurite@3.35.0; }

azurite_start() {
    local port
    port=$(free_ports 1)
    export HOURGLASS_LAB_AZURITE_ACCOUNT=devstoreaccount1 HOURGLASS_LAB_AZURITE_KEY
    export HOURGLASS_LAB_AZURITE="http://127.0.0.1:$port/$HOURGLASS_LAB_AZURITE_ACCOUNT"
    HOURGLASS_LAB_AZURITE_KEY=$(head -c 64 /dev/urandom | base64 --wrap 0)
    service azurite TERM env AZURITE_ACCOUNTS="$HOURGLASS_LAB_AZURITE_ACCOUNT:$HOURGLASS_LAB_AZURITE_KEY" \
        node "$(tool azurite)/node_modules/azurite/dist/src/blob/main.js" \
        --blobHost 127.0.0.1 --blobPort "$port" --location "$lab/azurite" --disableTelemetry --skipApiVersionCheck --silent
}

azurite_ready() { ready azurite 60 answers "$HOURGLASS_LAB_AZURITE"; }
