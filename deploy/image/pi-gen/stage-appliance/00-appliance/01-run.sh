#!/bin/bash -e
# fstab, host name, cloud-init and firmware settings are Raspberry Pi OS's own.
for part in systemd/system systemd/system.conf.d systemd/system-generators systemd/journald.conf.d systemd/resolved.conf.d ssh/sshd_config.d; do
	mkdir -p "${ROOTFS_DIR}/etc/${part}"
	cp -R --no-preserve=mode,ownership "files/etc/${part}/." "${ROOTFS_DIR}/etc/${part}/"
done
install -m 600 files/appliance.deb "${ROOTFS_DIR}/root/appliance.deb"
on_chroot <<-CHROOT
	apt-get install -y --no-install-recommends /root/appliance.deb
	rm /root/appliance.deb
	systemctl enable appliance-setup.service
	echo appliance >/etc/hostname
CHROOT
