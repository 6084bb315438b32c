/* COM1: commands come in, one byte each; a last word goes out when the guest cannot go on. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdint.h>

void console_init(void);

/* Sends the exceptions of the calling vCPU to give_up(); console_init() has it done already. */
void console_faults(void);

/* The next byte that came in, or -1. */
int console_poll(void);

/* Writes "labctl guest: WORDS VALUE" to COM1 and stops this vCPU for good. */
_Noreturn void give_up(const char *words, uint64_t value);

#endif
