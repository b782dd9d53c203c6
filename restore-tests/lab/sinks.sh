# What takes notifications: a mail server (aiosmtpd) and a web server, which tests start themselves. Sourced by restore-tests/run.

mail_install() {
    python3 -m pip install --no-cache-dir --target "$1" aiosmtpd==1.4.6
}

mail_start() {
    # Where the mail server's modules are.
    export HOURGLASS_LAB_MAIL
    HOURGLASS_LAB_MAIL=$(tool mail)
}

mail_ready() { :; }
