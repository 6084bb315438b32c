#!/bin/sh
# try_kvm.sh QEMU IMAGE: prints `kvm` when the image's kernel boots by it within five seconds, else `tcg`.
set -eu
qemu=$1 image=$2
if [ -r /dev/kvm ] && [ -w /dev/kvm ] &&
  timeout --signal=KILL 5 "$qemu" -nodefaults -no-user-config -display none -machine q35 -accel kvm -cpu host -m 256M \
    -kernel "$image/kernel" -initrd "$image/initrd" -append "console=ttyS0 quiet labctl.try" -serial stdio </dev/null 2>/dev/null |
  grep -q "labctl: the kernel has booted"; then
  echo kvm
else
  echo tcg
fi
