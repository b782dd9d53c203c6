# Java, and what Maven Central has. Sourced by restore-tests/run.

# java_home OLDEST: a runtime on this machine that is that version or newer, the oldest of them.
java_home() {
    local home version best='' found=''
    for home in /usr/lib/jvm/*/; do
        version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$home/release" 2>/dev/null) || continue
        if [ -x "$home/bin/java" ] && ((${version:-0} >= $1 && (${best:-999} > version))); then best=$version found=${home%/}; fi
    done
    [ -n "$found" ] || { echo "please install a Java runtime, version $1 or newer, below /usr/lib/jvm" >&2; return 1; }
    echo "$found"
}

# maven_jars FOLDER GROUP:NAME:VERSION...: these artefacts and what they need at run time, in FOLDER/lib. An artefact after `-`
# comes alone.
maven_jars() {
    local folder=$1 artefact group name version alone=''
    shift
    {
        echo '<project><modelVersion>4.0.0</modelVersion><groupId>lab</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging><dependencies>'
        for artefact in "$@"; do
            [ "$artefact" = - ] && { alone='<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>'; continue; }
            IFS=: read -r group name version <<<"$artefact"
            echo "<dependency><groupId>$group</groupId><artifactId>$name</artifactId><version>$version</version>$alone</dependency>"
        done
        echo '</dependencies></project>'
    } >"$folder/pom.xml"
    maven "$folder" --file "$folder/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$folder/lib"
    rm "$folder/pom.xml"
}

# maven FOLDER ARG...: runs it with a repository of its own, because two at once must not share one.
maven() {
    mvn --quiet --batch-mode -Dmaven.repo.local="$1/.maven" "${@:2}"
    rm -r "$1/.maven"
}

# Java 8 is in Debian's non-free section, unpacked here without its dependencies. The files that belong into /etc are added.
jdk8_install() (
    cd "$1"
    mkdir -p apt/lists/partial apt/cache/archives/partial
    read -r source < <(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) bookworm .*/\2/p' /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null)
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $source bookworm non-free" >apt/sources.list
    options=(-o Dir::Etc::sourcelist="$PWD/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$PWD/apt/lists"
        -o Dir::Cache="$PWD/apt/cache" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update
    apt-get "${options[@]}" download nvidia-openjdk-8-jre
    dpkg-deb --extract nvidia-openjdk-8-jre_*.deb root
    mv root/usr/lib/jvm/java-8-openjdk-amd64/jre jre
    rm -r apt root ./*.deb
    find jre/lib -xtype l -delete
    cp jre/lib/amd64/jvm.cfg-default jre/lib/amd64/jvm.cfg
    for file in net logging accessibility content-types sound flavormap management/management; do : >"jre/lib/$file.properties"; done
    : >jre/lib/security/blacklisted.certs
    echo 'grant { permission java.security.AllPermission; };' >jre/lib/security/java.policy
    cat >jre/lib/security/java.security <<'SETTINGS'
security.provider.1=sun.security.provider.Sun
security.provider.2=sun.security.rsa.SunRsaSign
security.provider.3=sun.security.ec.SunEC
security.provider.4=com.sun.net.ssl.internal.ssl.Provider
security.provider.5=com.sun.crypto.provider.SunJCE
securerandom.source=file:/dev/urandom
login.configuration.provider=sun.security.provider.ConfigFile
policy.provider=sun.security.provider.PolicyFile
policy.url.1=file:${java.home}/lib/security/java.policy
keystore.type=jks
keystore.type.compat=true
ssl.KeyManagerFactory.algorithm=SunX509
ssl.TrustManagerFactory.algorithm=PKIX
crypto.policy=unlimited
jdk.tls.disabledAlgorithms=SSLv3, TLSv1, TLSv1.1, RC4, DES, MD5withRSA, DH keySize < 1024, EC keySize < 224, 3DES_EDE_CBC, anon, NULL
jdk.certpath.disabledAlgorithms=MD2, MD5, RSA keySize < 1024, DSA keySize < 1024, EC keySize < 224
SETTINGS
    jre/bin/java -version
)
