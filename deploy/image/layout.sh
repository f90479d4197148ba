# Read by the scripts here: what an image is made of, without mounting anything. Needs sfdisk,
# mtools, debugfs. Call open_layout IMAGE first; it sets boot_start and root_start (bytes).

PATH="$PATH:/usr/sbin:/sbin"

open_layout() { # image; says what is wrong and returns 65, or 69 where a tool is missing
    layout_image=$1
    for tool in sfdisk mcopy debugfs; do
        command -v "$tool" >/dev/null || {
            echo "$tool is not here: apt install fdisk mtools e2fsprogs" >&2
            return 69
        }
    done
    table=$(LC_ALL=C sfdisk --dump "$1" 2>/dev/null) || table=
    case $table in
    *"label: dos"*) ;;
    *)
        echo "$1: is no disk image: it has no partition table of type dos; expected Raspberry Pi OS Lite (.img or .img.xz)" >&2
        return 65
        ;;
    esac
    boot_start=$(start_of 1)
    root_start=$(start_of 2)
    case $(type_of 1)/$(type_of 2) in
    [cCbB]/83) ;;
    *)
        echo "$1: partitions of type $(type_of 1) and $(type_of 2); expected c (FAT32, boot) and 83 (Linux, root)" >&2
        return 65
        ;;
    esac
}

field() { # partition, name: its value in sfdisk's dump
    printf '%s\n' "$table" | sed -n "s/^[^ ]*[^0-9]$1 : .*$2= *\([0-9a-fA-F]*\).*/\1/p" | head -1
}
start_of() { echo $(($(field "$1" start) * 512)); }
type_of() { field "$1" type; }
boot_file() { mcopy -n -i "$layout_image@@$boot_start" "::/$1" - 2>/dev/null; }
boot_has() { mdir -b -i "$layout_image@@$boot_start" "::/$1" >/dev/null 2>&1; }
root_file() { debugfs -R "cat $1" "$layout_image?offset=$root_start" 2>/dev/null; }
root_has() {
    debugfs -R "stat $1" "$layout_image?offset=$root_start" 2>&1 | grep -q '^Inode:'
}
root_list() { debugfs -R "ls -p $1" "$layout_image?offset=$root_start" 2>/dev/null | cut -d/ -f6; }
root_release() { root_file /usr/lib/os-release | sed -n 's/^VERSION_CODENAME=//p'; }
root_architecture() { # what its programs are for, by the ELF header of dpkg
    root_file /usr/bin/dpkg | od -An -tx1 -N20 | tr -d ' \n' | case $(cut -c1-10,37-40) in
    7f454c4602b700) echo arm64 ;;
    7f454c46012800) echo armhf ;;
    7f454c46*) echo another ;;
    esac
}
