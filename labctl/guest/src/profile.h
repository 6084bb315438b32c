/* How the write rate changes over time: steps, each a time and a share of the rate, which repeat. */
#ifndef PROFILE_H
#define PROFILE_H

#include <stdbool.h>
#include <stdint.h>

enum { PROFILE_STEPS = 4096, PROFILE_ONE = 1000000 };

struct step {
    uint32_t length_us, share_ppm; /* PROFILE_ONE: the rate that was asked */
};

/* Appends a step. Gives up when there are too many, or it is out of range. */
void profile_add(uint64_t us, uint64_t ppm);

/* Fixes the profile, whose first step begins at the TSC `start`. */
void profile_start(uint64_t tsc_hz, uint64_t start);

/* True when the rate never changes. */
bool profile_constant(void);

/* A place in the profile: step `index` from TSC `start` to `end`. */
struct place {
    uint64_t start, end;
    uint32_t index, share_ppm;
};

struct place profile_at(uint64_t tsc);

struct place profile_after(struct place place);

#endif
