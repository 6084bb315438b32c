"""Every option with every algorithm, alone and in pairs, on each QEMU: what is refused, what works, what breaks."""
