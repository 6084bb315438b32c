#include "commands.h"

#include "console.h"
#include "cpu.h"

enum { CHECK = 1, NEXT = 2 };

HOT uint32_t commands_last __attribute__((aligned(CACHE_LINE)));

void commands_poll(void)
{
    int command = console_poll();
    if (command == 'K') {
        store32(&commands_last, ((commands_last + NEXT) & ~1u) | CHECK);
    } else if (command == 'R') {
        store32(&commands_last, (commands_last + NEXT) & ~1u);
    }
}
