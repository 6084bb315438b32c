/* The load: each vCPU rewrites pages of its slice of the working set at its share of the rate, as
 * the profile has it then, and reads some beside. */
#ifndef WRITER_H
#define WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"

/* What is known of a page of the working set. */
struct page_state {
    uint32_t epoch; /* how often it was rewritten */
    uint32_t tick;  /* when it was last, see curve.h */
};

extern struct page_state *writer_pages;

void writer_init(const struct options *options, uint64_t tsc_hz);

/* The load begins now: vCPU 0, before any other writes. */
void writer_start(void);

/* Writes until the order changes. */
void writer_run(uint32_t vcpu, uint32_t order);

/* Pages written so far by this vCPU. */
uint64_t writer_work(uint32_t vcpu);

/* True when the epochs of a vCPU's slice do not add up to its work: one is not the latest. */
bool writer_work_regressed(uint32_t vcpu);

#endif
