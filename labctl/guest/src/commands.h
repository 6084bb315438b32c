/* What the vCPUs are to do: vCPU 0 reads commands from COM1, all of them follow. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"

/* 'K' stops the writers and checks the memory; 'R' lets them write again. vCPU 0 only. */
void commands_poll(void);

/* A number that changes with every command, so that none is missed or followed twice. */
extern uint32_t commands_last;

static inline uint32_t commands_order(void)
{
    return load32(&commands_last);
}

static inline bool order_is_check(uint32_t order)
{
    return order & 1;
}

#endif
