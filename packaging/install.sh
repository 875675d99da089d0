#!/bin/sh
# Installs libfar and far for one platform as distributions lay them out; the recipes beside this file use it.
#
#     install.sh TRIPLE DESTDIR [PREFIX [LIBDIR]]
#
# TRIPLE is a folder of the SDK's lib/, DESTDIR the root that is filled (/ for this machine itself), PREFIX is /usr unless
# said, LIBDIR is PREFIX/lib unless said.
set -eu

if [ $# -lt 2 ] || [ $# -gt 4 ]; then
    echo "usage: install.sh TRIPLE DESTDIR [PREFIX [LIBDIR]]" >&2
    exit 2
fi
sdk=$(cd "$(dirname "$0")/.." && pwd)
triple=$1
dest=${2%/}
prefix=${3:-/usr}
libdir=${4:-$prefix/lib}
from=$sdk/lib/$triple
if [ ! -d "$from" ]; then
    echo "error: the SDK has no \`$triple\`; hint: it has" "$(cd "$sdk/lib" && echo ./*-linux-gnu)" >&2
    exit 1
fi

install -d "$dest$prefix/bin" "$dest$prefix/include" "$dest$libdir/pkgconfig" "$dest$libdir/cmake/Far"
for header in "$sdk"/include/*; do
    install -m 0644 "$header" "$dest$prefix/include/"
done
install -m 0644 "$from/libfar.a" "$dest$libdir/libfar.a"
for library in "$from"/libfar.so.*; do
    case $library in
        *.debug) continue ;;
    esac
    install -m 0755 "$library" "$dest$libdir/"
    ln -sf "$(basename "$library")" "$dest$libdir/libfar.so"
done
sed -e "s|^prefix=.*|prefix=$prefix|" -e "s|^libdir=.*|libdir=$libdir|" "$from/pkgconfig/far.pc" \
    > "$dest$libdir/pkgconfig/far.pc"
# From the folder of CMake's files back to the root: as many steps as LIBDIR/cmake/Far has parts.
up=$(echo "${libdir#/}/cmake/Far" | sed -e 's|[^/][^/]*|..|g')
sed -e "s|\"\${_far_lib}/../../include\"|\"\${CMAKE_CURRENT_LIST_DIR}/$up$prefix/include\"|" \
    "$from/cmake/Far/FarConfig.cmake" > "$dest$libdir/cmake/Far/FarConfig.cmake"
install -m 0644 "$from/cmake/Far/FarConfigVersion.cmake" "$dest$libdir/cmake/Far/"
install -m 0755 "$sdk/bin/$triple/far" "$dest$prefix/bin/far"
