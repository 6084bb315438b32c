/* Giving every checked page its first content, and comparing every page with what it must hold. */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>

#include "options.h"

void check_init(const struct options *options);

/* All vCPUs call it together and share the pages. */
void check_fill(uint32_t vcpu);

/* The same; vCPU 0 sends the report. */
void check_memory(uint32_t vcpu);

#endif
