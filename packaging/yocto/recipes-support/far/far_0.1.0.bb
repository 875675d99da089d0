SUMMARY = "Runs compiled FAR models (model.far): libfar and the command far"
DESCRIPTION = "Transformers whose attention was replaced by LSTMs, on small boards. Installed from the SDK's archive."
SECTION = "libs"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=9f2655d175dd858414613d74e69301a3 \
                    file://LICENSE-APACHE;md5=3b83ef96387f14655fc854ddc3c6bd57"

# Put the archive that cargo xtask sdk made into the folder files/ beside this recipe.
SRC_URI = "file://far-sdk-${PV}.tar.gz"
S = "${WORKDIR}/far-sdk-${PV}"

COMPATIBLE_HOST = "(x86_64|aarch64|riscv64).*-linux"
COMPATIBLE_HOST:libc-musl = "null"
FAR_TRIPLE:x86-64 = "x86_64-unknown-linux-gnu"
FAR_TRIPLE:aarch64 = "aarch64-unknown-linux-gnu"
FAR_TRIPLE:riscv64 = "riscv64gc-unknown-linux-gnu"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    ${S}/packaging/install.sh ${FAR_TRIPLE} ${D} ${prefix} ${libdir}
}

PACKAGES =+ "${PN}-tool"
FILES:${PN}-tool = "${bindir}/far"

# Built and stripped before, with the flags of the SDK.
INSANE_SKIP:${PN} = "already-stripped ldflags"
INSANE_SKIP:${PN}-tool = "already-stripped ldflags"
INHIBIT_PACKAGE_DEBUG_SPLIT = "1"
