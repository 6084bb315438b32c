#!/bin/sh
# box.sh TREE
#
# What Vagrant expects of a machine, in a tree that settle.sh has been over: a user `vagrant` who may sudo, whom Vagrant's
# public key lets in, an address by DHCP on the first interface, names, and keys of its own for sshd.
set -eu
tree=$1
home=$tree/home/vagrant
units=$tree/etc/systemd/system

useradd --root "$tree" --create-home --shell /bin/bash vagrant
echo "vagrant ALL=(ALL) NOPASSWD: ALL" >"$tree/etc/sudoers.d/vagrant"
chmod 440 "$tree/etc/sudoers.d/vagrant"
# Everybody has the private half, as Vagrant's documentation says; Vagrant puts a new key in its place when it first comes in.
mkdir -p "$home/.ssh"
cat >"$home/.ssh/authorized_keys" <<'END'
ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ== vagrant insecure public key
END
chmod 700 "$home/.ssh"
chmod 600 "$home/.ssh/authorized_keys"
chroot "$tree" chown -R vagrant:vagrant /home/vagrant

# Vagrant names the machine, and writes files of networkd for the other interfaces.
echo localhost >"$tree/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$tree/etc/hosts"
cat >"$tree/etc/systemd/network/90-first.network" <<'END'
[Match]
Name=eth0

[Network]
DHCP=ipv4

[DHCPv4]
ClientIdentifier=mac
END
ln -sf ../run/systemd/resolve/stub-resolv.conf "$tree/etc/resolv.conf"

# Only the kinds that are made at once: a key of RSA takes an emulated processor a quarter of a minute.
mkdir -p "$units/ssh.service.d"
cat >"$units/ssh.service.d/keys.conf" <<'END'
[Service]
ExecStartPre=
ExecStartPre=/usr/local/lib/labctl-host-keys
ExecStartPre=/usr/sbin/sshd -t
END
cat >"$tree/usr/local/lib/labctl-host-keys" <<'END'
#!/bin/sh
for kind in ed25519 ecdsa; do
  file=/etc/ssh/ssh_host_${kind}_key
  [ -s "$file" ] || ssh-keygen -q -t "$kind" -N '' -f "$file"
done
END
chmod 755 "$tree/usr/local/lib/labctl-host-keys"
