#!/bin/sh
# An origin for updates: a signed apt repository, as a folder that any web server can serve.
#
# Usage: scripts/make_repository.sh FOLDER KEY_NAME PACKAGE.deb...
#
# Copies the packages into FOLDER, and signs with KEY_NAME of the gpg keyring (GNUPGHOME). Writes
# FOLDER/key.asc, which belongs to /etc/appliance/update-key.asc on the units. Needs apt-utils, gpg.
set -eu
folder=$1 key=$2
shift 2
mkdir -p "$folder"
[ $# = 0 ] || cp "$@" "$folder/"
cd "$folder"
apt-ftparchive packages . >Packages
gzip -9nkf Packages
apt-ftparchive -o APT::FTPArchive::Release::Origin=appliance release . >Release.new
mv Release.new Release
gpg --batch --yes --local-user "$key" --digest-algo SHA256 --clearsign --output InRelease Release
gpg --batch --yes --local-user "$key" --armor --export "$key" >key.asc
