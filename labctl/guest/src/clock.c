#include "clock.h"

#include "console.h"
#include "cpu.h"

/* The counter of the PIT is latched between two readings of the TSC, so each pair of them bounds
 * when it was. A vCPU thread can lose its core at any of these instructions, and for any time: that
 * widens a bound and never moves it. From neighbouring anchors comes an upper bound of the speed:
 * delays, and wraps of the 16 bits (55 ms) that were not seen, only ever raise it, so the least of
 * many is near the truth. It is good enough to count the wraps between the two best anchors far
 * apart, and those give the result. */

enum { PIT_HZ = 1193182, PIT_CHANNEL_2 = 0x42, PIT_COMMAND = 0x43, SPEAKER = 0x61 };
enum {
    ANCHORS = 24,
    ENDS = ANCHORS / 4,
    TRIES = 8,
    STEP_TICKS = PIT_HZ / 500,
    ATTEMPTS = 5,
    GOOD_PPM = 200
};

struct anchor {
    uint64_t before, after; /* TSC */
    uint16_t count;         /* runs down */
};

static void pit_start(void)
{
    out8(SPEAKER, (uint8_t)((in8(SPEAKER) & ~2u) | 1u)); /* gate on, sound off */
    out8(PIT_COMMAND, 0xB4);                             /* channel 2, both bytes, rate generator */
    out8(PIT_CHANNEL_2, 0);
    out8(PIT_CHANNEL_2, 0);
}

static uint64_t width(struct anchor a)
{
    return a.after - a.before;
}

static struct anchor anchor(void)
{
    struct anchor best = {.after = UINT64_MAX};
    for (int i = 0; i < TRIES; i++) {
        struct anchor a;
        a.before = rdtsc();
        out8(PIT_COMMAND, 0x80); /* latch channel 2 */
        a.after = rdtsc();
        uint16_t low = in8(PIT_CHANNEL_2), high = in8(PIT_CHANNEL_2);
        a.count = (uint16_t)(high << 8 | low);
        best = width(a) < width(best) ? a : best;
    }
    return best;
}

static struct anchor next_anchor(struct anchor last)
{
    for (int patience = 100000; patience; patience--) {
        struct anchor a = anchor();
        if ((uint16_t)(last.count - a.count) >= STEP_TICKS) {
            return a;
        }
    }
    give_up("channel 2 of the PIT does not count, at", last.count);
}

static struct anchor tightest(const struct anchor *a, int count)
{
    struct anchor best = a[0];
    for (int i = 1; i < count; i++) {
        best = width(a[i]) < width(best) ? a[i] : best;
    }
    return best;
}

/* One calibration of about 50 ms, and its uncertainty in parts per million. */
static uint64_t calibrate_once(uint64_t *ppm)
{
    struct anchor a[ANCHORS] = {anchor()};
    uint64_t bound_hz = UINT64_MAX;
    for (int i = 1; i < ANCHORS; i++) {
        a[i] = next_anchor(a[i - 1]);
        uint16_t ticks = (uint16_t)(a[i - 1].count - a[i].count);
        uint64_t hz = (a[i].after - a[i - 1].before) * PIT_HZ / ticks;
        bound_hz = hz < bound_hz ? hz : bound_hz;
    }
    struct anchor first = tightest(a, ENDS), last = tightest(a + ANCHORS - ENDS, ENDS);
    uint64_t unsure = (width(first) + width(last)) / 2;
    uint64_t tsc = last.before - first.before + width(last) / 2 - width(first) / 2;
    uint64_t ticks = (uint16_t)(first.count - last.count);
    ticks += ((tsc * PIT_HZ / bound_hz - ticks + 0x8000) >> 16) << 16;
    *ppm = unsure * 1000000 / tsc;
    return tsc * PIT_HZ / ticks;
}

uint64_t clock_calibrate(void)
{
    pit_start();
    uint64_t best_hz = 0, best_ppm = UINT64_MAX;
    for (int i = 0; i < ATTEMPTS && best_ppm > GOOD_PPM; i++) {
        uint64_t ppm, hz = calibrate_once(&ppm);
        if (ppm < best_ppm) {
            best_ppm = ppm;
            best_hz = hz;
        }
    }
    return best_hz;
}

void clock_wait_us(uint64_t hz, uint64_t us)
{
    uint64_t start = rdtsc();
    while (rdtsc() - start < hz / 1000000 * us) {
        relax();
    }
}
