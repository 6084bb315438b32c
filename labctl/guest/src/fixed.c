#include "fixed.h"

#include "beats.h"
#include "content.h"
#include "cpu.h"
#include "memory.h"
#include "pattern.h"

extern const char image_start[], image_fixed_end[], tables_start[], tables_end[];

enum { RANGES = 5 };
static struct {
    struct range range;
    uint64_t sum;
} fixed[RANGES];

static uint64_t sum_of(struct range r)
{
    uint64_t sum = 0;
    for (uint64_t at = r.start; at < r.end; at += sizeof sum) {
        if (at % PAGE_SIZE == 0) {
            beats_tick();
        }
        uint64_t word;
        /* By assembler: to C, address 0 is no memory. */
        __asm__ volatile("mov (%1), %0" : "=r"(word) : "r"(at));
        sum = mix(sum ^ word);
    }
    return sum;
}

void fixed_init(void)
{
    fixed[0].range = memory.first;
    fixed[1].range = (struct range){(uint64_t)image_start, (uint64_t)image_fixed_end};
    fixed[2].range = (struct range){(uint64_t)tables_start, (uint64_t)tables_end};
    fixed[3].range = memory.tables;
    fixed[4].range = pattern_tables();
    for (int i = 0; i < RANGES; i++) {
        fixed[i].sum = sum_of(fixed[i].range);
    }
}

uint64_t fixed_changed(void)
{
    for (int i = 0; i < RANGES; i++) {
        if (sum_of(fixed[i].range) != fixed[i].sum) {
            return fixed[i].range.start;
        }
    }
    return UINT64_MAX;
}
