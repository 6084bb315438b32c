#include "commands.h"

#include "console.h"
#include "cpu.h"

enum { CHECK = 1, NEXT = 2 };

HOT static uint32_t order __attribute__((aligned(CACHE_LINE)));

void commands_poll(void)
{
    int command = console_poll();
    if (command == 'K') {
        store32(&order, ((order + NEXT) & ~1u) | CHECK);
    } else if (command == 'R') {
        store32(&order, (order + NEXT) & ~1u);
    }
}

uint32_t commands_order(void)
{
    return load32(&order);
}
