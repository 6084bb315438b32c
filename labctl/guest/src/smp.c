#include "smp.h"

#include "beats.h"
#include "clock.h"
#include "console.h"
#include "cpu.h"
#include "memory.h"
#include "options.h"

enum { TRAMPOLINE = 0x8000, APIC_BASE_MSR = 0x1B, ICR_LOW = 0x300 };
enum { INIT_ALL_OTHERS = 0xC4500, START_ALL_OTHERS = 0xC4600 };

extern const uint8_t trampoline[], trampoline_end[];

/* Used by start.S: a vCPU takes a ticket, and its stack by that. */
uint32_t smp_tickets, smp_places;
uint64_t smp_stacks;

static uint32_t apic_ids[MAX_VCPUS], arrived, open;
HOT static uint32_t members, waiting, generation;

_Noreturn void smp_entry(uint32_t ticket);

static uint32_t apic_id(void)
{
    uint32_t a = 1, b, c, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    return b >> 24;
}

static volatile uint32_t *apic(void)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(APIC_BASE_MSR));
    return (volatile uint32_t *)((uint64_t)low & 0xFFFFF000u);
}

void smp_start(uint32_t vcpus, uint64_t tsc_hz)
{
    members = vcpus;
    if (vcpus == 1) {
        return;
    }
    smp_places = vcpus - 1;
    smp_stacks = (uint64_t)memory_take(smp_places * PAGE_SIZE);
    for (size_t i = 0; trampoline + i < trampoline_end; i++) {
        ((volatile uint8_t *)TRAMPOLINE)[i] = trampoline[i];
    }
    volatile uint32_t *icr = apic() + ICR_LOW / sizeof(uint32_t);
    *icr = INIT_ALL_OTHERS;
    clock_wait_us(tsc_hz, 1000);
    for (int i = 0; i < 2; i++) {
        *icr = START_ALL_OTHERS | TRAMPOLINE / PAGE_SIZE;
        clock_wait_us(tsc_hz, 200);
    }
    for (uint64_t start = rdtsc(); load32(&arrived) < smp_places; relax()) {
        if (rdtsc() - start > tsc_hz) {
            give_up("not so many vCPUs here; started besides the first:", arrived);
        }
    }
    store32(&open, 1);
}

_Noreturn void smp_entry(uint32_t ticket)
{
    console_faults();
    apic_ids[ticket] = apic_id();
    __atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL);
    while (!load32(&open)) {
        relax();
    }
    uint32_t rank = 0;
    for (uint32_t i = 0; i < smp_places; i++) {
        rank += apic_ids[i] < apic_ids[ticket];
    }
    guest_vcpu(rank + 1);
}

void smp_barrier(uint32_t vcpu)
{
    uint32_t mine = load32(&generation);
    if (__atomic_add_fetch(&waiting, 1, __ATOMIC_ACQ_REL) == members) {
        store32(&waiting, 0);
        store32(&generation, mine + 1);
        return;
    }
    while (load32(&generation) == mine) {
        if (vcpu == 0) {
            beats_tick();
        }
        relax();
    }
}
