/* Memory that must never change once the guest runs: below 1 MiB, code, page tables. */
#ifndef FIXED_H
#define FIXED_H

#include <stdint.h>

void fixed_init(void);

/* The address of the first of these ranges that is not what it was, or UINT64_MAX. */
uint64_t fixed_changed(void);

#endif
