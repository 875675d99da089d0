################################################################################
#
# far
#
################################################################################

FAR_VERSION = 0.1.0
FAR_SOURCE = far-sdk-$(FAR_VERSION).tar.gz
FAR_SITE = $(call qstrip,$(BR2_PACKAGE_FAR_SDK_FOLDER))
FAR_SITE_METHOD = file
FAR_LICENSE = MIT or Apache-2.0
FAR_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE
FAR_INSTALL_STAGING = YES

ifeq ($(BR2_x86_64),y)
FAR_TRIPLE = x86_64-unknown-linux-gnu
else ifeq ($(BR2_aarch64),y)
FAR_TRIPLE = aarch64-unknown-linux-gnu
else ifeq ($(BR2_RISCV_64),y)
FAR_TRIPLE = riscv64gc-unknown-linux-gnu
endif

define FAR_INSTALL_STAGING_CMDS
	$(@D)/packaging/install.sh $(FAR_TRIPLE) $(STAGING_DIR)
endef

define FAR_INSTALL_TARGET_CMDS
	$(@D)/packaging/install.sh $(FAR_TRIPLE) $(TARGET_DIR)
endef

$(eval $(generic-package))
