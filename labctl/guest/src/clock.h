/* How fast the time stamp counter runs. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* Measures the TSC against channel 2 of the PIT; about 40 ms. Returns ticks per second. */
uint64_t clock_calibrate(void);

/* Spins for so many microseconds of a TSC of `hz`. */
void clock_wait_us(uint64_t hz, uint64_t us);

#endif
