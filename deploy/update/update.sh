#!/bin/sh
# Update the package, and come back from whatever interrupts it.
#
# Usage: update check|install|recover|resume|prove
#
#   check     ask the origin what there is
#   install   stage the newest, install it, prove it by the pipeline's own progress, else go back
#   recover   at boot, before the daemon: undo an installation that was cut off
#   resume    after the daemon started: go on with a proof that was cut off
#   prove     only that: does the daemon that runs now make progress?
#
# Nothing of Python is used: that is what is being replaced. Every phase is on the card before it
# begins, so the plug can be pulled anywhere. Called by `appliance update`, which reads the
# configuration:
#   APPLIANCE_ORIGIN   address of an apt repository
#   APPLIANCE_KEY      file with the key that signs it
set -u
state=${APPLIANCE_UPDATE_STATE:-/var/lib/appliance-update}
progress=${APPLIANCE_PROGRESS:-/run/appliance/progress}
prove_seconds=${APPLIANCE_PROVE_SECONDS:-120}
prove_results=5 # so many results after the restart prove a pipeline that ran before
steady_seconds=30 # a unit that had no camera before must stay up so long
packages=$state/packages
export DEBIAN_FRONTEND=noninteractive LC_ALL=C APPLIANCE_UPDATING=1

say() { echo "update: $*"; }
get() { sed -n "s/^$1=//p" "$state/state" 2>/dev/null | tail -1; }
field() { sed -n "s/^$1=//p" "$progress" 2>/dev/null | tail -1; }
version_of() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null; }
installed() { version_of appliance; }
whole() { [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" = "ii " ]; }
main_pid() { systemctl show -P MainPID appliance.service; }

now() { cut -d. -f1 /proc/uptime; } # a board without a clock sets the time while it runs

# The state as a whole is replaced, never edited: a power cut leaves the old or the new one, a full
# card the old one.
record() { # key=value...
    mkdir -p "$state"
    {
        cat "$state/state" 2>/dev/null
        printf '%s\n' "$@" | tr -d '\r'
    } | awk -F= '{value[$1] = $0; if (!($1 in seen)) {seen[$1] = 1; order[++n] = $1}} END {for (i = 1; i <= n; i++) print value[order[i]]}' \
        >"$state/state.new" && [ -s "$state/state.new" ] || { say "the state cannot be written: is the card full?" >&2; return 1; }
    chmod 644 "$state/state.new"
    sync "$state/state.new" && mv "$state/state.new" "$state/state" && sync "$state"
}

line() { tr '\n' ' ' | cut -c1-300; } # what others say, as one line
when() { date -u +%Y-%m-%dT%H:%M:%SZ; }

fail() { # what, hint: nothing was changed
    say "$1${2:+ ($2)}" >&2
    case "$(get phase)" in installing | going-back | proving) ;; *) record phase=idle result=failed reason="$(printf %s "$1" | line)" at="$(when)" ;; esac
    exit 69
}

# Our own lists, so that nothing but the origin is asked and the system's own are left alone.
with_origin() { # apt command...
    tool=$1
    shift
    "$tool" -q -o Dir::Etc::sourcelist="$state/appliance.sources" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$state/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=2 "$@"
}

check() {
    [ -n "${APPLIANCE_ORIGIN:-}" ] || { say "no origin is configured (update.origin)"; record installed="$(installed)"; exit 0; }
    [ -r "${APPLIANCE_KEY:-}" ] || fail "the key ${APPLIANCE_KEY:-} is not there" "update.key_file names the key that signs the origin"
    mkdir -p "$state/lists/partial"
    printf 'Types: deb\nURIs: %s\nSuites: ./\nSigned-By: %s\n' "$APPLIANCE_ORIGIN" "$APPLIANCE_KEY" >"$state/appliance.sources"
    found=$(with_origin apt-get -o APT::Update::Error-Mode=any update 2>&1) ||
        fail "the origin cannot be used: $(printf '%s\n' "$found" | grep -m1 '^[EW]:')" "is it reachable, and signed by that key?"
    available=$(offered appliance)
    [ -n "$available" ] || fail "the origin has no package appliance for this machine"
    record installed="$(installed)" available="$available"
    say "installed $(installed), available $available"
}

offered() { with_origin apt-cache madison "$1" | awk -F' *[|] *' '{print $2}' | head -1; }
newer() { dpkg --compare-versions "$1" gt "$2"; }

stage() { # package, version
    file=$packages/$1_$2.deb
    [ -f "$file" ] && return 0
    mkdir -p "$packages/partial"
    rm -f "$packages"/partial/*
    (cd "$packages/partial" && with_origin apt-get download "$1=$2" >/dev/null) || return 1
    keep "$packages"/partial/*.deb "$file"
}

keep() { # from, to: there whole or not at all
    dpkg-deb --info "$1" >/dev/null 2>&1 || return 1
    sync "$1"
    mv "$1" "$2"
    sync "$packages"
}

# The way back: kept from before, else from the origin, else packed from what is installed.
stage_way_back() { # package
    now_there=$(version_of "$1")
    stage "$1" "$now_there" 2>/dev/null && return 0
    command -v dpkg-repack >/dev/null || return 1
    say "packing $1 $now_there as the way back"
    (cd "$packages/partial" && rm -f ./*.deb && dpkg-repack "$1" >/dev/null 2>&1) || return 1
    keep "$packages"/partial/*.deb "$packages/$1_$now_there.deb"
}

# The packages of an update, or of the way back from it: a card's own goes with the appliance.
files() { # to|from
    echo "$packages/appliance_$(get "$1").deb"
    [ -z "$(get to_card)" ] || echo "$packages/appliance-card_$(get "${1}_card").deb"
}

install() {
    finish # what was cut off before
    check
    from=$(installed)
    to=$(get available)
    newer "$to" "$from" || { say "nothing newer"; exit 0; }
    if [ "${APPLIANCE_AUTOMATIC:-}" = 1 ] && [ "$(get refused)" = "$to" ]; then
        say "$to was taken back before; it is not tried again by itself"
        exit 0
    fi
    from_card='' to_card=''
    if whole appliance-card && newer "$(offered appliance-card)" "$(version_of appliance-card)"; then
        from_card=$(version_of appliance-card) to_card=$(offered appliance-card)
    fi
    record phase=staging from="$from" to="$to" from_card="$from_card" to_card="$to_card" result= reason= || exit 69
    free=$(df --output=avail -B1 /opt | tail -1)
    size=$(with_origin apt-cache show "appliance=$to" | awk '/^Installed-Size:/ {i = $2 * 1024} /^Size:/ {s = $2} END {printf "%d", i + 2 * s}')
    [ "$free" -gt "$size" ] || fail "$free bytes free, $size needed" "make space on the card"
    stage appliance "$to" || fail "$to cannot be fetched, or is damaged"
    stage_way_back appliance || fail "there is no way back from $to" "apt install dpkg-repack, or keep $from at the origin"
    if [ -n "$to_card" ]; then
        stage appliance-card "$to_card" || fail "appliance-card $to_card cannot be fetched, or is damaged"
        stage_way_back appliance-card || fail "there is no way back from appliance-card $to_card" "apt install dpkg-repack, or keep $from_card at the origin"
    fi
    record ran_before="$(makes_progress)" || exit 69
    trap '' HUP INT PIPE TERM # whoever asked may go away; half an installation is worth nothing
    record phase=installing || exit 69
    say "installing $to"
    # shellcheck disable=SC2046 # a list without spaces
    if ! dpkg --force-confold --install $(files to); then
        if whole appliance && [ "$(installed)" = "$from" ] && { [ -z "$to_card" ] || [ "$(version_of appliance-card)" = "$from_card" ]; }; then # dpkg was busy, or refused before it began
            record phase=idle
            fail "the package was not installed: dpkg refused"
        fi
        go_back "the package did not install"
    fi
    sync
    record phase=proving
    systemctl reset-failed appliance.service 2>/dev/null
    systemctl restart appliance.service
    prove
}

makes_progress() { # 1 if the pipeline hands on results now; its daemon tells every 10 s
    one=$(field processed)
    sleep 11
    if [ "$(field processed)" -gt "${one:-0}" ] 2>/dev/null; then echo 1; else echo 0; fi
}

prove() {
    to=$(get to)
    if proved; then
        record phase=idle result=installed reason= installed="$(installed)" refused= at="$(when)"
        for old in "$packages"/*.deb; do # the last two are kept: this one and the way back
            case " $(files to) $(files from) " in *"$old"*) ;; *) rm -f "$old" ;; esac
        done
        say "$to is proved"
    else
        go_back "$to did not prove itself in $prove_seconds s: $(systemctl show -P StatusText appliance.service)"
    fi
}

# The pipeline's own progress, told by the new daemon itself; one that never had a camera to prove
# itself with must at least stay.
proved() {
    deadline=$(($(now) + prove_seconds))
    steady_since=0 last_pid=
    while [ "$(now)" -lt "$deadline" ]; do
        sleep 1
        pid=$(main_pid)
        [ "$(systemctl show -P ActiveState appliance.service)" = active ] || { last_pid=; continue; }
        [ "$pid" = "$last_pid" ] || { steady_since=$(now) last_pid=$pid; }
        [ "$(field pid)" = "$pid" ] || continue
        [ "$(field processed)" -ge "$prove_results" ] 2>/dev/null && return 0
        [ "$(get ran_before)" -gt 0 ] 2>/dev/null && continue
        [ $(($(now) - steady_since)) -ge "$steady_seconds" ] && return 0
    done
    return 1
}

go_back() { # why
    say "going back to $(get from): $1" >&2
    record phase=going-back reason="$(printf %s "$1" | line)" refused="$(get to)"
    put_back || exit 70
    systemctl reset-failed appliance.service 2>/dev/null
    systemctl restart appliance.service
    exit 69
}

put_back() {
    from=$(get from)
    # shellcheck disable=SC2046 # a list without spaces
    if [ -z "$from" ] || ! dpkg --force-confold --force-downgrade --install $(files from); then
        record reason="going back to $from failed: $(get reason)"
        return 1
    fi
    # shellcheck disable=SC2046
    rm -f $(files to)
    record phase=idle result="taken back" installed="$(installed)" at="$(when)"
}

undo() { # an installation that was cut off
    case "$(get phase)" in
    staging) record phase=idle result=failed reason="cut off while fetching" ;;
    installing | going-back)
        say "an update was cut off; putting $(get from) back"
        [ "$(get phase)" = going-back ] || record reason="cut off while installing"
        put_back || exit 70
        ;;
    esac
}

finish() { # whatever was cut off, while the system runs
    case "$(get phase)" in
    installing | going-back)
        undo
        systemctl restart appliance.service
        ;;
    staging) undo ;;
    proving) prove ;;
    esac
}

mkdir -p "$state"
exec 9>"$state/lock"
flock -n 9 || { say "another update is at work" >&2; exit 75; }
case "${1:-}" in
check) check ;;
install) install ;;
recover) undo ;;
prove) proved || { say "no progress in $prove_seconds s" >&2; exit 69; } ;;
resume) finish ;;
*)
    echo "usage: $0 check|install|recover|resume|prove" >&2
    exit 2
    ;;
esac
