/* The dirty curve: how many different pages are written within a window, for windows of 10 ms to 1 s.
 *
 * Windows of one length follow each other without a gap from the start of the load; all begin with a
 * tick of 10 ms. For each page the tick of its last write is kept. A write counts its page for each
 * length whose present window began after that: every page is counted once a window, exactly. For
 * which lengths that is depends on how many ticks ago it was, and is the same until the next tick:
 * so it is looked up. */
#ifndef CURVE_H
#define CURVE_H

#include <stdbool.h>
#include <stdint.h>

enum { CURVE_WINDOWS = 7, CURVE_SETS = 10, CURVE_LONGEST_TICKS = 100 };
extern const uint16_t curve_window_ms[CURVE_WINDOWS];

/* One vCPU's. */
struct curve {
    uint64_t tick_end; /* TSC */
    uint32_t tick;     /* from 1, so that 0 is: never */
    uint8_t set_by_age[CURVE_LONGEST_TICKS + 1]; /* of windows, by ticks since the last write */
    uint64_t firsts[CURVE_SETS];    /* writes that were a page's first in the windows of each set */
    uint32_t starts[CURVE_WINDOWS]; /* the tick with which the present window began */
    uint64_t closed[CURVE_WINDOWS]; /* pages of each length up to then */
};

/* What all vCPUs have done until the last tenth of a second, when each had come that far. */
struct load_done {
    uint32_t tenths;
    uint64_t written, read;
    uint64_t windows[CURVE_WINDOWS], pages[CURVE_WINDOWS];
};

void curve_init(uint32_t vcpus);

/* The load begins at this TSC. */
void curve_start(uint64_t tsc_hz, uint64_t start);

uint64_t curve_started(void);

/* Goes on to the tick of `now`; `written` and `read` are the vCPU's pages until now. */
void curve_roll(struct curve *curve, uint32_t vcpu, uint64_t now, uint64_t written, uint64_t read);

/* False when a vCPU has not come as far as the others yet. */
bool curve_done(struct load_done *done);

/* Counts a write in the present tick to a page that was last written in the tick `last`. */
static inline void curve_write(struct curve *c, uint32_t last)
{
    uint32_t age = c->tick - last;
    c->firsts[c->set_by_age[age < CURVE_LONGEST_TICKS ? age : CURVE_LONGEST_TICKS]]++;
}

#endif
