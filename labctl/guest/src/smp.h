/* The other vCPUs: started by INIT-SIPI-SIPI, numbered by APIC id, kept in step by barriers. */
#ifndef SMP_H
#define SMP_H

#include <stdint.h>

/* Starts `vcpus` - 1 others, which call guest_vcpu(1 ..). Gives up when they do not come within a
 * second. */
void smp_start(uint32_t vcpus, uint64_t tsc_hz);

/* Returns when all vCPUs have called it. vCPU 0 goes on beating meanwhile. */
void smp_barrier(uint32_t vcpu);

/* In main.c: what every vCPU does for ever. */
_Noreturn void guest_vcpu(uint32_t vcpu);

#endif
