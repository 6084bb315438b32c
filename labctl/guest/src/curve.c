#include "curve.h"

#include "cpu.h"
#include "options.h"

enum { TICK_MS = 10, TENTH_TICKS = 10, PUBLISHING = UINT32_MAX };

const uint16_t curve_window_ms[CURVE_WINDOWS] = {10, 20, 50, 100, 200, 500, 1000};

/* The sets of windows that can be younger than a tick: the shortest ones, but for 20 and 50 ms, and
 * 200 and 500 ms, either of which may have begun later. Bit i is length i. */
static const uint8_t sets[CURVE_SETS] = {0x00, 0x01, 0x03, 0x05, 0x07, 0x0F, 0x1F, 0x2F, 0x3F, 0x7F};

/* As of the last whole window of each length, where `tenths` tenths of a second had passed. */
struct published {
    uint32_t tenths;
    uint64_t written, read, pages[CURVE_WINDOWS];
} __attribute__((aligned(CACHE_LINE)));

static struct published published[MAX_VCPUS];
static struct {
    uint64_t start, tick_tsc;
    uint32_t vcpus;
} when;

void curve_init(uint32_t vcpus)
{
    when.vcpus = vcpus;
}

void curve_start(uint64_t tsc_hz, uint64_t start)
{
    when.tick_tsc = tsc_hz / 1000 * TICK_MS;
    when.start = start;
}

uint64_t curve_started(void)
{
    return when.start;
}

static uint64_t pages_until_now(const struct curve *c, int window)
{
    uint64_t pages = 0;
    for (int s = 0; s < CURVE_SETS; s++) {
        pages += sets[s] >> window & 1 ? c->firsts[s] : 0;
    }
    return pages;
}

static void close_windows(struct curve *c)
{
    for (int i = 0; i < CURVE_WINDOWS; i++) {
        uint32_t ticks = curve_window_ms[i] / TICK_MS;
        uint32_t start = 1 + (c->tick - 1) / ticks * ticks;
        if (start != c->starts[i]) {
            c->starts[i] = start;
            c->closed[i] = pages_until_now(c, i);
        }
    }
}

/* As a page last written so many ticks ago, so the others of that age. */
static void tell_ages(struct curve *c)
{
    uint8_t set = 0;
    for (uint32_t age = 0; age <= CURVE_LONGEST_TICKS && age <= c->tick; age++) {
        uint8_t younger = 0;
        for (int i = 0; i < CURVE_WINDOWS; i++) {
            younger |= (uint8_t)((c->tick - age < c->starts[i]) << i);
        }
        while (sets[set] != younger) {
            set++;
        }
        c->set_by_age[age] = set;
    }
}

void curve_roll(struct curve *c, uint32_t vcpu, uint64_t now, uint64_t written, uint64_t read)
{
    uint32_t tenths = (c->tick - 1) / TENTH_TICKS; /* at first more than there can be */
    c->tick = 1 + (uint32_t)((now > when.start ? now - when.start : 0) / when.tick_tsc);
    c->tick_end = when.start + c->tick * when.tick_tsc;
    close_windows(c);
    tell_ages(c);
    if (tenths < (c->tick - 1) / TENTH_TICKS) {
        struct published *p = &published[vcpu];
        store32(&p->tenths, PUBLISHING);
        p->written = written;
        p->read = read;
        for (int i = 0; i < CURVE_WINDOWS; i++) {
            p->pages[i] = c->closed[i];
        }
        store32(&p->tenths, (c->tick - 1) / TENTH_TICKS);
    }
}

static uint32_t common_tenths(void)
{
    uint32_t tenths = load32(&published[0].tenths);
    for (uint32_t i = 1; i < when.vcpus; i++) {
        if (load32(&published[i].tenths) != tenths) {
            return PUBLISHING;
        }
    }
    return tenths;
}

bool curve_done(struct load_done *d)
{
    *d = (struct load_done){.tenths = common_tenths()};
    if (d->tenths == PUBLISHING) {
        return false;
    }
    for (uint32_t i = 0; i < when.vcpus; i++) {
        const struct published *p = &published[i];
        d->written += p->written;
        d->read += p->read;
        for (int w = 0; w < CURVE_WINDOWS; w++) {
            d->pages[w] += p->pages[w];
        }
    }
    for (int w = 0; w < CURVE_WINDOWS; w++) {
        d->windows[w] = d->tenths * 100ull / curve_window_ms[w];
    }
    return common_tenths() == d->tenths;
}
