/* The load: each vCPU rewrites pages of its slice of the working set at its share of the rate. */
#ifndef WRITER_H
#define WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "content.h"
#include "options.h"

/* The epoch of page i of the working set: how often it was rewritten. */
extern uint32_t *writer_epochs;

void writer_init(const struct options *options, uint64_t tsc_hz);

/* Writes until the order changes. */
void writer_run(uint32_t vcpu, uint32_t order);

/* Pages written so far by this vCPU. */
uint64_t writer_work(uint32_t vcpu);

/* True when the epochs of a vCPU's slice do not add up to its work: one is not the latest. */
bool writer_work_regressed(uint32_t vcpu);

#endif
