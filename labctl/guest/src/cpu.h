/* The instructions C has no words for, and the section for what a beat touches. */
#ifndef CPU_H
#define CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE 4096ull
#define CACHE_LINE 64

/* Zeroed state that the beat and the writers need all the time: one page for all of it, but where
 * there are many vCPUs, each with a HOT_LAST part of its own. */
#define HOT __attribute__((section(".bss.hot")))
#define HOT_LAST __attribute__((section(".bss.hotlast")))

/* What a writer runs through for each page: QEMU's translator links blocks of code directly only
 * within one page of the guest, so all of it lies in one (see link.ld). */
#define HOT_CODE __attribute__((section(".text.hot")))

static inline uint64_t rdtsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* Waits a fraction of a microsecond. Not by PAUSE: under TCG it leaves the translated code and
 * takes QEMU's big lock, so that waiting vCPUs would disturb QEMU and be held up by it. Not by
 * RDTSC alone: that takes a spin lock there, and a vCPU that lost its core inside it would hold up
 * the others. */
static inline void relax(void)
{
    for (int i = 0; i < 256; i++) {
        __asm__ volatile("");
    }
}

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

/* a * b / c; the largest number where that is too large for one. */
static inline uint64_t muldiv(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
    if (high >= c) {
        return UINT64_MAX;
    }
    __asm__("divq %[c]" : "+a"(low), "+d"(high) : [c] "r"(c) : "cc");
    return low;
}

static inline uint32_t load32(const uint32_t *place)
{
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

static inline void store32(uint32_t *place, uint32_t value)
{
    __atomic_store_n(place, value, __ATOMIC_RELEASE);
}

#endif
