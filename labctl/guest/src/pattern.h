/* Which page comes next. */
#ifndef PATTERN_H
#define PATTERN_H

#include <stdint.h>

#include "memory.h"
#include "options.h"

struct zipf;

/* The part of the working set that one vCPU has, and how it goes through it. */
struct slice {
    uint64_t first, count;
    const struct zipf *zipf; /* of `count` ranks, for the pattern zipf */
};

/* Where one stream of accesses to a slice is; writes and reads have one each. */
struct cursor {
    uint64_t random, next;
};

/* Before memory_close(): makes the tables of zipf. */
void pattern_init(struct slice *slice, const struct options *options);

/* What the tables of all slices hold, which must never change. */
struct range pattern_tables(void);

uint64_t pattern_zipf(const struct slice *slice, struct cursor *cursor);

/* xorshift64*. */
static inline uint64_t cursor_random(struct cursor *c)
{
    c->random ^= c->random >> 12;
    c->random ^= c->random << 25;
    c->random ^= c->random >> 27;
    return c->random * 0x2545F4914F6CDD1Dull;
}

static inline uint64_t pattern_next(enum pattern pattern, const struct slice *s, struct cursor *c)
{
    if (pattern == PATTERN_RANDOM) { /* uniform, with repeats; slices stay below 2^32 pages */
        return s->first + ((cursor_random(c) >> 32) * s->count >> 32);
    }
    if (pattern == PATTERN_ZIPF) {
        return pattern_zipf(s, c);
    }
    uint64_t page = c->next;
    c->next = page + 1 == s->count ? 0 : page + 1;
    return s->first + page;
}

#endif
