# Sourced: versions of a package, and the signed lists of each origin that the tests offer.
make_origin() { # package, folder
    if ! command -v apt-ftparchive >/dev/null; then
        apt-get -qq install -y --no-install-recommends apt-utils gpg >/dev/null || missing "apt-utils cannot be installed"
    fi
    sh "$here/variants.sh" "$1" "$2/packages"
    GNUPGHOME=$(mktemp -d)
    export GNUPGHOME
    gpg --batch --quiet --passphrase '' --quick-generate-key origin@example.org ed25519 sign never 2>/dev/null
    version=$(cd "$2/packages" && ls | sed -n 's/^appliance_\([0-9.]*\)\.deb$/\1/p')
    for offer in "$version $version+1" "$version+1 $version+2" "$version+1 $version+3" \
        "$version+1 $version+4" "$version $version+2"; do
        signed=$2/signed/$(echo "$offer" | tr ' ' _)
        mkdir -p "$signed"
        for one in $offer; do ln "$2/packages/appliance_$one.deb" "$2/packages/appliance-card_$one.deb" "$signed/"; done
        sh "$here/../../scripts/make_repository.sh" "$signed" origin@example.org
        rm "$signed"/*.deb
    done
    cp "$signed/key.asc" "$2/signed/key.asc"
    rm -rf "$GNUPGHOME"
}
