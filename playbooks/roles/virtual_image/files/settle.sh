#!/bin/sh
# settle.sh TREE
#
# What makes of a tree of packages a host that boots fast, is nobody's, and takes from outside who it is: its name, its
# addresses, its keys and who may log in come as a tar from QEMU (fw_cfg `opt/labctl/seed`), laid over the tree at each boot.
set -eu
tree=$1
units=$tree/etc/systemd/system
# apt fails by a default release as long as it has no lists, and nobody has fetched any yet.
sed -i "/Default-Release/d" "$tree"/etc/apt/apt.conf.d/*
rm -f "$tree"/etc/ssh/ssh_host_* "$tree"/etc/machine-id "$tree"/etc/hostname "$tree"/etc/apt/sources.list.d/*
: >"$tree/etc/machine-id"
echo "LABEL=labctl / ext4 rw,noatime 0 0" >"$tree/etc/fstab"
passwd --root "$tree" --lock root >/dev/null

mkdir -p "$units/sysinit.target.wants" "$units/multi-user.target.wants"
cat >"$units/labctl-seed.service" <<'END'
[Unit]
Description=who this host is
DefaultDependencies=no
After=systemd-remount-fs.service systemd-modules-load.service
Before=sysinit.target systemd-networkd.service systemd-udevd.service ssh.service network-pre.target systemd-sysctl.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/labctl-seed

[Install]
WantedBy=sysinit.target
END
mkdir -p "$tree/usr/local/lib"
cat >"$tree/usr/local/lib/labctl-seed" <<'END'
#!/bin/sh
seed=/sys/firmware/qemu_fw_cfg/by_name/opt/labctl/seed/raw
modprobe qemu_fw_cfg 2>/dev/null
[ -e "$seed" ] || exit 0
tar --extract --no-same-owner --directory / --file "$seed"
[ ! -s /etc/hostname ] || hostname "$(cat /etc/hostname)"
END
chmod 755 "$tree/usr/local/lib/labctl-seed"
ln -s ../labctl-seed.service "$units/sysinit.target.wants/"
# Not `systemctl enable`: that would also wait at boot for networks that nobody has configured.
ln -sf /lib/systemd/system/systemd-networkd.service "$units/multi-user.target.wants/"
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
  fstrim.timer systemd-timesyncd.service getty@tty1.service serial-getty@ttyS0.service getty-static.service \
  systemd-hwdb-update.service systemd-update-utmp.service systemd-pstore.service ldconfig.service \
  systemd-firstboot.service systemd-boot-random-seed.service; do
  ln -sf /dev/null "$units/$unit"
done
# The settings of the roles come when a lab is provisioned.
rm -f "$units/multi-user.target.wants/chrony.service"
